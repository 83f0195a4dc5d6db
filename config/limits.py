"""Bounds that the transport and the settings share.

Outputs do not depend on them, so they are apart from the settings.
"""

UNPACKED_BYTES_MAX = 128 << 20
"""Bytes that one chunk of records may take, unpacked and with the places of its records.

16 times the largest batch that a topic takes (8 MiB: batch_bytes_max in topics.toml), 128 times the largest of a bank.
A batch that is not compressed always fits: the smallest record has 7 bytes, and takes 72 with its places."""
