"""The score role: the compiled loop, its rows, its flush."""
