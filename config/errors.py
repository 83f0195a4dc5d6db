"""Errors for operators. Outputs do not depend on them, so they are apart from the settings."""


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""
