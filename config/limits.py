"""Bounds that the transport and the settings share.

Outputs do not depend on them, so they are apart from the settings.
"""

UNPACKED_BYTES_MAX = 128 << 20
"""Bytes that one chunk of records may take, unpacked and with the places of its records.

16 times the largest batch that a topic takes (8 MiB: batch_bytes_max in topics.toml), 128 times the largest of a bank.
A batch that is not compressed always fits: the smallest record has 7 bytes, and takes 72 with its places."""

FEED_BATCH_BYTES_MAX = 16 << 20
"""Bytes that one batch of a feed may take in the same way: 16 times the largest that its topic takes (1 MiB).

A batch of 1 MiB that is not compressed takes at most 10.8 MB. Of honest clients only Java's counts its batch after
compression, and reaches this where records pack to less than a fifteenth in batches of 1 MiB, 64 times its default. The
bound is on junk: of the smallest records 233,000 fit, each of them a sealed dead letter, and 1.9 million into
UNPACKED_BYTES_MAX."""
