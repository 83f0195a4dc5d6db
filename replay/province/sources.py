"""Published figures that parameters rest on, each with where it stands."""

JPMC_2016 = (
    "JPMorgan Chase Institute (2016), Cash is King: Flows, Balances, and Buffer Days: 597,000 small businesses, "
    "470 million transactions in nine months; half hold 27 buffer days or fewer, a quarter under 13, a quarter over 62"
)
CBIRC_2022 = (
    "CBIRC at the State Council briefing of June 2022: 2.18% of inclusive loans to micro and small enterprises "
    "non-performing at the end of April 2022"
)
MYBANK = "MYbank annual reports: 1.94% (2022) and 2.30% (2024) of loans to micro and small enterprises non-performing"
PBOC_2024 = (
    "PBoC, Q1 2024: 33.4 trillion yuan of inclusive loans to micro and small enterprises, over 62 million borrowers "
    "with a limit: some 0.54 million yuan each; new loans at 4.42%"
)
NBS_SIZES = "NBS (2017), Classification of large, medium, small and micro enterprises by operating income"
NBS_CENSUS = "NBS (2019), Fourth National Economic Census: legal entities by industry, rounded"
COFACE_2025 = (
    "Coface (2025), China Corporate Payment Survey: terms of some 76 days and delays of 65 days on average in 2024"
)
ATRADIUS_2024 = (
    "Atradius (2024), B2B payment practices trends China: over a third of invoices late, paid some three weeks past "
    "due; 3% of B2B credit sales are bad debt"
)
NORDEN_WEBER = (
    "Norden and Weber (2010), Review of Financial Studies 23(10): account activity is abnormal from some 12 months "
    "before default events on"
)
TAX_LAW = "Tax Collection practice: monthly or quarterly filing by the 15th of the month after"
FESTIVAL_LAW = "State Council's calendar of holidays; week-long closure at the lunar New Year"
