"""Published figures behind parameters, each with its source."""

JPMC_2016 = (
    "JPMorgan Chase Institute (2016), Cash is King: Flows, Balances, and Buffer Days: 597,000 small businesses, "
    "470 million transactions in nine months; half hold 27 buffer days or fewer, a quarter under two weeks, a quarter "
    "over two months"
)
CBIRC_2022 = (
    "CBIRC at the State Council briefing of June 2022: 2.18% of inclusive loans to micro and small enterprises "
    "non-performing at the end of April 2022"
)
MYBANK = "MYbank, annual report of 2024: 2.30% of loans non-performing, most of them to micro and small enterprises"
PBOC_2024 = (
    "PBoC, Q1 2024: 33.4 trillion yuan of inclusive loans to micro and small enterprises, over 62 million borrowers "
    "with a limit: some 0.54 million yuan each; new loans at 4.42%"
)
NBS_SIZES = "NBS (2017), Classification of large, medium, small and micro enterprises by operating income"
NBS_CENSUS = (
    "NBS (2019), Fourth National Economic Census: wholesale and retail 29.8% of legal entities, manufacturing 15.0%, "
    "leasing and business services 11.7%; manufacturing is raised, as more of it borrows"
)
ATRADIUS_2024 = (
    "Atradius (2024), B2B payment practices trends China: over a third of invoices late, paid some three weeks past "
    "due; 3% of B2B credit sales are bad debt"
)
NORDEN_WEBER = (
    "Norden and Weber (2010), Review of Financial Studies 23(10): account activity is abnormal from some 12 months "
    "before default events on"
)
