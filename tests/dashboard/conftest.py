"""A real browser for the tests of the pages."""

import os
from collections.abc import Callable, Iterator

import pytest

from dashboard.browser import Browser, BrowserFailed, find


@pytest.fixture(scope="module")
def module_browser(not_shown: Callable[[str, str], None]) -> Iterator[Browser]:
    try:
        find()
    except BrowserFailed as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        not_shown("the pages in a browser", str(error))
    with Browser(width=1280, height=900) as one:
        yield one


@pytest.fixture
def browser(module_browser: Browser) -> Browser:
    """The module's browser as a new one has it: an empty page of the first size, nothing stored, nothing noted."""
    module_browser.evaluate("location.protocol === 'about:' || localStorage.clear()")
    module_browser.goto("about:blank")
    module_browser.resize(1280, 900)
    module_browser.events.clear()
    return module_browser
