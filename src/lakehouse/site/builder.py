"""Writes pages: those whose inputs changed, each as a whole, and none that cannot be made."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lakehouse.home.pages import Pages
from lakehouse.site import words

_log = logging.getLogger(__name__)
_ROOM = Path(__file__).parent
_MANIFEST = "manifest.json"
_ASSETS = (".css", ".js", ".svg")

NAVIGATION = (
    ("index.html", "Today"),
    ("numbers.html", "Numbers"),
    ("quality.html", "Quality"),
    ("catalogue.html", "Catalogue"),
    ("lineage.html", "Lineage"),
    ("decisions.html", "Decisions"),
    ("runbooks.html", "Runbooks"),
    ("docs.html", "Docs"),
)


@dataclass(frozen=True)
class Page:
    """A page at ``path`` below the site; it is made again when ``depends`` is another, or the templates are.

    ``fill`` gives what the template shows. ``section`` is the entry of the menu that it belongs to.
    """

    path: str
    template: str
    section: str
    depends: object
    fill: Callable[[], Mapping[str, Any]]


@dataclass
class Builder:
    """One build of the site at ``pages``. ``failed`` maps pages, or groups of pages, to why they were not made.

    ``beside`` holds links, with their words, to what is served next to the site. Nothing is written before the end.
    """

    pages: Pages
    beside: tuple[tuple[str, str], ...] = ()
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    _made: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> dict[str, str]:
        """Page → digest of what it was made from."""
        page = self.pages.read(_MANIFEST)
        try:
            found = json.loads(page.data) if page else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def _there(self) -> frozenset[str]:
        return frozenset(self.pages.names())

    def _is_right(self, path: str, digest: str) -> bool:
        return self.manifest.get(path) == digest and path in self._there

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("lakehouse.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(words.FILTERS)
        environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": str}
        return environment

    def attempt(self, name: str, make: Callable[[], object]) -> None:
        """Call something; when it fails, the rest of the site is made all the same."""
        try:
            make()
        except Exception as error:
            # The name of the error only: others may quote values of rows.
            self.failed[name] = type(error).__name__
            _log.warning("The site's page %s could not be made; it stays as it was.", name, exc_info=True)

    def add(self, page: Page) -> None:
        """Make a page unless it is there and still right."""
        digest = _digest((page.template, page.section, self.beside, page.depends), code_digest())
        if self._is_right(page.path, digest):
            self.kept.append(page.path)
            return
        before = len(self.failed)
        self.attempt(page.path, lambda: self._render(page, page.fill()))
        if len(self.failed) == before:
            self.manifest[page.path] = digest
            self.written.append(page.path)
            return
        self.manifest.pop(page.path, None)
        if page.path not in self._there:
            self._render(Page(page.path, "failed.html", page.section, None, dict), {})

    def _render(self, page: Page, values: Mapping[str, Any]) -> None:
        up = "../" * page.path.count("/")
        shown = self._environment.get_template(page.template).render(
            up=up, page=page.path, section=page.section, navigation=NAVIGATION, beside=self.beside, **values
        )
        self._made[page.path] = shown.encode()

    def add_file(self, path: str, content: bytes) -> None:
        """A file that is not a page."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._is_right(path, digest):
            self._made[path] = content
            self.manifest[path] = digest

    def add_assets(self) -> None:
        """Scripts and styles."""
        for folder in ("static", "vendor"):
            for source in sorted(p for p in (_ROOM / folder).iterdir() if p.suffix in _ASSETS):
                self.add_file(f"assets/{source.name}", source.read_bytes())

    def finish(self, mark: str) -> None:
        """Write what was made, remove pages that nobody asked for any more, remember ``mark`` for the next build."""
        self.pages.write(self._made)
        asked = {*self.written, *self.kept, *self.failed}
        if not self.failed:
            gone = [p for p in self.manifest if p.endswith(".html") and p not in asked]
            self.pages.remove(gone)
            for path in gone:
                del self.manifest[path]
        self.manifest[""] = mark if not self.failed else ""
        self.pages.write({_MANIFEST: json.dumps(self.manifest, indent=0, sort_keys=True).encode()})


@cache
def code_digest() -> str:
    """Changes when the templates, the scripts or the code of this room do. Looked at once a process."""
    files = sorted(p for p in _ROOM.rglob("*") if p.is_file() and p.suffix != ".pyc")
    stamps = [f"{p} {p.stat().st_mtime_ns} {p.stat().st_size}" for p in files]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _digest(content: object, more: str) -> str:
    return hashlib.sha256((json.dumps(content, default=str, sort_keys=True) + more).encode()).hexdigest()
