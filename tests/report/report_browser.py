"""Headless Chromium that tells of every console message, error and request beyond the page itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


@contextmanager
def opened(
    path: Path, *, width: int = 1280, scheme: str = "light", media: str = "screen"
) -> Iterator[tuple[Any, list[str]]]:
    """Open a page; yields it and the list of everything that it did beyond being shown."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.on("console", lambda message: seen.append(f"console {message.type}: {message.text}"))
            page.on("pageerror", lambda error: seen.append(f"error: {error}"))
            page.on("dialog", lambda dialog: seen.append("dialog"))
            own = path.as_uri()
            page.on("request", lambda request: None if request.url in (own, "data:,") else seen.append(request.url))
            page.emulate_media(media=media, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(own)
            yield page, seen
        finally:
            browser.close()
