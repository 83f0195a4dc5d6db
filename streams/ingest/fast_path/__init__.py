"""The fast path: transactions of banks, read by compiled code at a fourth of the cost. The result is the same."""
