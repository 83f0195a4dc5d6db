"""Codes of an indicator without a value: VALUE, NOT_APPLICABLE (nothing to measure), or the code of what is
missing. SHORT_HISTORY is the enterprise's age alone: no coverage is lost by it.
"""

(
    VALUE, NOT_APPLICABLE, SHORT_HISTORY, NEVER_SEEN, BASE_TOO_SMALL, NOT_REPORTED, NOT_COVERED, STALLED, FESTIVAL,
) = range(9)  # fmt: skip
NULL_NAMES = (
    "", "not_applicable", "history", "never_seen", "base_too_small", "not_reported", "not_covered", "feed_stalled",
    "spring_festival",
)  # fmt: skip
