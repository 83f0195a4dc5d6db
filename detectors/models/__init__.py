"""The River models, one a file."""
