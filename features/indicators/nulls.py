"""Why an indicator has no value: VALUE, NOT_APPLICABLE (there is nothing to measure), or a code that says what is
missing. SHORT_HISTORY is the enterprise's age alone: no coverage is lost by it.
"""

(
    VALUE, NOT_APPLICABLE, SHORT_HISTORY, NEVER_SEEN, BASE_TOO_SMALL, NOT_REPORTED, NOT_COVERED, STALLED, FESTIVAL,
) = range(9)  # fmt: skip
NULL_NAMES = (
    "", "not_applicable", "history", "never_seen", "base_too_small", "not_reported", "not_covered", "feed_stalled",
    "spring_festival",
)  # fmt: skip
