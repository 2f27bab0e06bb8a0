"""Debian's Chromium, headless and without a way out, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """A page, and what went wrong on it.

    Attributes:
        errors: of the console and of scripts.
        warnings: of the console.
        outside: addresses asked for that are neither files nor of this machine.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@contextmanager
def visit(address: str, **options: object) -> Iterator[Visit]:
    """Open a page; the options are those of Playwright's contexts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        visit = Visit(page)

        def asked(request: Request) -> None:
            place = urlsplit(request.url)
            if place.scheme in {"http", "https"} and place.hostname != "127.0.0.1":
                visit.outside.append(request.url)

        page.on("request", asked)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))

        def said(message: ConsoleMessage) -> None:
            kinds = {"error": visit.errors, "warning": visit.warnings}
            kinds.get(message.type, []).append(message.text)

        page.on("console", said)
        page.goto(address)
        try:
            yield visit
        finally:
            browser.close()
