"""The system's Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
TIMEOUT_MILLISECONDS = 30_000
# Each size and each colour scheme once.
SIZES_AND_SCHEMES = pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
REPORTED_IMPACTS = ("serious", "critical")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A headless Chromium: the one without a window, which starts faster, if there is one. Skips the test if
    the machine has none."""
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if path is None:
        pytest.skip("no Chromium on the PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, base_url: str, **options: Any) -> Page:
    """A page in a new browser context, without cookies."""
    context = browser.new_context(**{"base_url": base_url, "viewport": DESKTOP, **options})
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    return context.new_page()


def find_accessibility_problems(page: Page, *, rules: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The accessibility problems that axe-core rates serious or critical: (rule, first element).

    Checks `rules` only, if any are given.
    """
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in REPORTED_IMPACTS]


def save_screenshot_if_enabled(page: Page, name: str) -> None:
    """Call save_screenshot if PICTURES=1 is set: screenshots of every page are slow."""
    if os.environ.get("PICTURES") == "1":
        save_screenshot(page, name)


def save_screenshot(page: Page, name: str) -> None:
    """Save a screenshot in .artifacts/screenshots (ignored by git) for people to look at."""
    folder = Path(__file__).parents[2] / ".artifacts" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)
