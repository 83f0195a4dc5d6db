"""A real browser for the tests of the pages."""

import os
from collections.abc import Callable, Iterator

import pytest

from dashboard.browser import Browser, BrowserFailed, find


@pytest.fixture
def browser(not_shown: Callable[[str, str], None]) -> Iterator[Browser]:
    try:
        find()
    except BrowserFailed as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        not_shown("the pages in a browser", str(error))
    with Browser(width=1280, height=900) as one:
        yield one
