"""The gateway as sources speak for it: its code, and what stands for the documents that it holds."""

import hashlib

GATEWAY_ID = "Z9000000000000"  # the gateway's own code: no bank's


def consent_hash(authorization_id: str) -> str:
    """Stands for the hash of a consent document: 64 hex digits."""
    return hashlib.sha256(authorization_id.encode()).hexdigest()
