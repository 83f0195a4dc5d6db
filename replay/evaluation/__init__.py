"""The score judged by outcomes: of the data sets with an adapter, and of any recorded log with a list of outcomes."""
