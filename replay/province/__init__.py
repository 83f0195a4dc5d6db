"""The simulated province: recorded logs for the judgement of warnings, with the truth beside them."""
