"""A secret in a file of its own: a password never stands in the settings, in an address, or in a list of processes."""

from pathlib import Path

from config.errors import SettingsError


def read_secret(setting: str, path: str | None) -> str:
    """Return the text of the file, without white space at its ends.

    Raise SettingsError, with the setting's name, where there is no path or the file cannot be read.
    """
    if path is None:
        raise SettingsError(f"{setting} is not set")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting} = {path}: {error}") from error
