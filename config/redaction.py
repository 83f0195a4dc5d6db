"""Settings as they may be printed and logged: without secrets. Whoever shows an address of a setting asks here."""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

REDACTED = "(redacted)"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")
# The keys of a query that are shown with their values. One of neither set may be a misspelt password, or, after an & in
# a password, the rest of it.
_SHOWN = frozenset(
    {"database", "db", "health_check_interval", "max_connections", "protocol", "socket_connect_timeout",
     "socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
     "ssl_check_hostname", "ssl_keyfile", "timeout"}
)  # fmt: skip
_SECRET = frozenset({"username", "password", "ssl_password"})


def split_url(url: str) -> SplitResult:
    """Return the parts of `scheme://…`. Raise ValueError, which quotes nothing, where they cannot be told apart.

    So it is of `redis://user:pass/word@host`: taken literally, the password would be a port and a path.
    """
    unclear = (
        "host, port and password cannot be told apart (in a password, write @ : / ? # % as %40 %3A %2F %3F %23 %25)"
    )
    scheme, mark, _ = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise ValueError("it does not begin with a scheme and ://")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises too: the texts of both quote what they do not understand
    except ValueError:
        raise ValueError(unclear) from None
    if parts.fragment or (parts.netloc and "@" in parts.path + parts.query):
        raise ValueError(unclear)
    return parts


def shown_url(url: str) -> str:
    """Return a URL with (redacted) for its password, and for whatever in its query is not known to be harmless.

    Where its parts cannot be told apart, nothing of it is shown.
    """
    try:
        parts = split_url(url)
    except ValueError:
        return REDACTED
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = "&".join(
        f"{key}={value}" if key in _SHOWN else f"{key}={REDACTED}" if key in _SECRET else REDACTED
        for key, value in pairs
    )
    return (
        f"{parts.scheme}://{name}{f':{REDACTED}' if colon else ''}{at}{host}{parts.path}{f'?{query}' if query else ''}"
    )


def shown_setting(key: str, value: object) -> object:
    """Return the value of a setting without a secret. The file of a secret is named: that is how operators find it."""
    if key == "url":
        return shown_url(str(value))
    if not key.endswith("_file") and any(word in key for word in ("password", "secret", "token")):
        return REDACTED
    return value
