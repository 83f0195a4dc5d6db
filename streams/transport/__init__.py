"""A Faust transport that delivers one message per (partition, fetch)."""
