"""Writes pages: those whose inputs changed, each as a whole, and none that cannot be made."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lakehouse.site import words

_log = logging.getLogger(__name__)
_ROOM = Path(__file__).parent
_MANIFEST = ".manifest.json"
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
    """One build of the site in ``folder``. ``failed`` maps pages, or groups of pages, to why they were not made."""

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> dict[str, str]:
        """Page → digest of what it was made from."""
        try:
            found = json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

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
        digest = _digest((page.template, page.section, self.extras, page.depends), code_digest())
        if self.manifest.get(page.path) == digest and (self.folder / page.path).exists():
            self.kept.append(page.path)
            return
        before = len(self.failed)
        self.attempt(page.path, lambda: self._write(page, page.fill()))
        if len(self.failed) == before:
            self.manifest[page.path] = digest
            self.written.append(page.path)
        else:
            self.manifest.pop(page.path, None)
            if not (self.folder / page.path).exists():
                self._write(Page(page.path, "failed.html", page.section, None, dict), {})

    @cached_property
    def extras(self) -> tuple[tuple[str, str], ...]:
        """Links to what lies beside the site."""
        docs = self.folder.parent / "data-docs" / "index.html"
        return (("../data-docs/index.html", "Data Docs"),) if docs.exists() else ()

    def _write(self, page: Page, values: Mapping[str, Any]) -> None:
        up = "../" * page.path.count("/")
        template = self._environment.get_template(page.template)
        shown = template.render(
            up=up, page=page.path, section=page.section, navigation=NAVIGATION, extras=self.extras, **values
        )
        put(self.folder / page.path, shown)

    def add_text(self, path: str, content: str) -> None:
        """A file that is not a page."""
        digest = _digest(content, "")
        if self.manifest.get(path) != digest or not (self.folder / path).exists():
            put(self.folder / path, content)
            self.manifest[path] = digest

    def add_assets(self) -> None:
        """Scripts and styles."""
        for folder in ("static", "vendor"):
            for source in sorted(p for p in (_ROOM / folder).iterdir() if p.suffix in _ASSETS):
                path = f"assets/{source.name}"
                stamp = f"{source.stat().st_size}-{code_digest()}"
                if self.manifest.get(path) == stamp and (self.folder / path).exists():
                    continue
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, self.folder / path)
                self.manifest[path] = stamp

    def finish(self, mark: str) -> None:
        """Remove pages that nobody asked for any more; remember what was made, and ``mark`` for the next build."""
        made = {*self.written, *self.kept, *self.failed}
        if not self.failed:
            for path in [p for p in self.manifest if p.endswith(".html") and p not in made]:
                (self.folder / path).unlink(missing_ok=True)
                del self.manifest[path]
        self.manifest[""] = mark if not self.failed else ""
        put(self.folder / _MANIFEST, json.dumps(self.manifest, indent=0, sort_keys=True))


@cache
def code_digest() -> str:
    """Changes when the templates, the scripts or the code of this room do. Looked at once a process."""
    files = sorted(p for p in _ROOM.rglob("*") if p.is_file() and p.suffix != ".pyc")
    stamps = [f"{p} {p.stat().st_mtime_ns} {p.stat().st_size}" for p in files]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _digest(content: object, more: str) -> str:
    return hashlib.sha256((json.dumps(content, default=str, sort_keys=True) + more).encode()).hexdigest()


def put(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads it meanwhile sees the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until nobody else builds the site."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
