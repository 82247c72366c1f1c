"""A real browser, Chromium without a window, and what it says of a page: errors, requests, overflow, contrast.

It is the machine's own (`.ci/browser` installs one where that is possible); Playwright only drives it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

# A machine may be busy with many tests at once.
expect.set_options(timeout=60_000)
#: Where a browser is found, best first. `.ci/browser` looks for the same.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
#: Screenshots of the last run, for people to look at. Git ignores the folder.
SCREENSHOTS = Path(__file__).parents[2] / ".tools" / "screenshots"

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
#: A laptop and a telephone.
WIDTHS = (1280, 390)
_HEIGHT = {1280: 800, 390: 844}

#: Everything that scripts draw is there.
_DRAWN = """() => !document.querySelector('pre.mermaid:not([data-processed]), .chart:empty')"""

#: The widest thing that sticks out of the page, where the page can be moved sideways.
_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return null;
  const held = (e) => e && (getComputedStyle(e).overflowX !== 'visible' || held(e.parentElement));
  const out = [...document.querySelectorAll('main *, header *, footer *')]
    .map((e) => [e.getBoundingClientRect().right, e])
    .filter(([right, e]) => right > width + 1 && !held(e.parentElement)).sort((a, b) => b[0] - a[0])[0];
  return `${document.documentElement.scrollWidth} of ${width} px: ` + (out ? out[1].outerHTML.slice(0, 160) : '?');
}"""

#: Texts that are hard to tell from what is behind them (WCAG 2.2, 1.4.3: 4.5 to 1, large ones 3 to 1).
_FAINT = """() => {
  const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const once = (f) => { const known = new Map(); return (x) => known.get(x) || (known.set(x, f(x)), known.get(x)); };
  const rgba = once((colour) => {
    pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  });
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (e) => rgba(getComputedStyle(e).backgroundColor);
  const behind = once((e) => e ? over(ground(e), behind(e.parentElement)) : rgba('Canvas'));
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, style = getComputedStyle(e);
    if (!texts.currentNode.data.trim() || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})
        || e.closest('svg, script, style, template, .sr, .skip')) continue;
    const below = behind(e);
    const ink = over(rgba(style.color), below), said = texts.currentNode.data.trim();
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5))
      found.add(`${ratio.toFixed(2)} to 1: ${e.tagName}.${e.className} "${said.slice(0, 30)}"`);
  }
  return [...found].slice(0, 8);
}"""


def chromium() -> str | None:
    """The browser of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), _MAC if Path(_MAC).exists() else None)


@contextmanager
def running() -> Iterator[Browser]:
    """A browser; skips the test, and says so, where none can be had."""
    executable = chromium()
    if executable is None:
        pytest.skip(
            f"NO BROWSER: none of {', '.join(NAMES)} is on PATH, so nobody has looked at the pages. "
            "Install one: apt-get install chromium"
        )
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Sight:
    """A page of the browser, and what went wrong on it: ``faults``, since they were last taken.

    ``origins`` are those that it may ask; pages of the same folder or host are meant.
    """

    page: Page
    origins: tuple[str, ...]
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((*self.origins, "data:", "blob:", "about:")):
            self.faults.append(f"asks {urlsplit(request.url).netloc or request.url}")

    def _failed(self, request: Request) -> None:
        # Left before it was loaded: the browser's own doing.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.url}: {response.status}")

    def look(self, width: int, scheme: Scheme, *, contrast: bool = True) -> list[str]:
        """What is wrong with the page as it is now, at a width and in a colour scheme; the faults are taken."""
        self.page.set_viewport_size({"width": width, "height": _HEIGHT[width]})
        self.page.emulate_media(color_scheme=scheme)
        # Charts are drawn anew for the width, diagrams for the scheme.
        self.page.evaluate("() => new Promise(requestAnimationFrame)")
        self.page.wait_for_function(_DRAWN)
        found, self.faults = self.faults, []
        wide = self.page.evaluate(_OVERFLOW)
        found += [f"too wide: {wide}"] if wide else []
        found += [f"faint: {text}" for text in self.page.evaluate(_FAINT)] if contrast else []
        return [f"{urlsplit(self.page.url).path} at {width} px, {scheme}: {fault}" for fault in found]

    def keep(self, name: str, *, whole: bool = True) -> None:
        """A screenshot for people; ``whole``: all of the page, not only what is in sight."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole, animations="disabled")


@contextmanager
def sight(browser: Browser, *origins: str, width: int = 1280) -> Iterator[Sight]:
    """A window of its own: nobody is logged in."""
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHT[width]},
        reduced_motion="reduce",
        locale="en-GB",
    )
    context.set_default_timeout(60_000)
    try:
        yield Sight(context.new_page(), origins)
    finally:
        context.close()
