"""Errors that are for operators; apart from the settings, on which no output depends."""


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""
