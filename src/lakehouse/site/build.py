"""Builds the site: pages about the project from its files, pages about the data as the analyst sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from lakehouse.contract import Project
from lakehouse.site import documents, facts, project_pages, warehouse_pages
from lakehouse.site.builder import Builder, Page, code_digest, exclusive
from lakehouse.site.catalogue import Catalogue


@dataclass(frozen=True)
class Built:
    """What a build did: paths of pages below ``folder``; ``failed`` maps pages, or groups, to why."""

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: dict[str, str]
    seconds: float

    @property
    def front_page(self) -> Path:
        """What a person opens."""
        return self.folder / "index.html"


def build(folder: Path, project: Project, analyst: Engine) -> Built:
    """Make the pages whose inputs have changed since the last build, and remove those of what is gone.

    A page that cannot be made stays as it was, and is tried again by the next build; so do all pages about the data
    when the warehouse does not answer.

    Args:
        folder: the site; made when it is missing.
        project: its contracts, SQL and documents.
        analyst: a warehouse, as a role that cannot read personal columns.
    """
    started = time.monotonic()
    with exclusive(folder):
        builder = Builder(folder)
        builder.attempt("assets", builder.add_assets)
        catalogue = Catalogue.of(project)
        found = documents.find(project.root)
        for name, pages in project_pages.groups(project, catalogue, found).items():
            _add(builder, name, pages)
        builder.attempt("search", lambda: _add_search(builder, catalogue, found))
        mark = ""

        def about_the_data() -> None:
            nonlocal mark
            with facts.reading(analyst, project) as conn:
                mark = _mark(conn, project)
                for name, pages in warehouse_pages.groups(conn, project, catalogue).items():
                    _add(builder, name, pages)

        builder.attempt("the data", about_the_data)
        builder.finish(mark)
    return Built(
        folder, tuple(builder.written), tuple(builder.kept), builder.failed, time.monotonic() - started
    )


def is_current(folder: Path, project: Project, analyst: Engine) -> bool:
    """Whether a build would change nothing. Quick: nothing is read but the ledger and the dates of files."""
    remembered = Builder(folder).manifest.get("")
    if not remembered or not (folder / "index.html").exists():
        return False
    with facts.reading(analyst, project) as conn:
        return _mark(conn, project) == remembered


def _mark(conn: Connection, project: Project) -> str:
    files = [p for part in ("contracts", "sql", "docs") for p in sorted((project.root / part).rglob("*.*"))]
    files += sorted(project.root.glob("*.md"))
    changed = max((p.stat().st_mtime_ns for p in files), default=0)
    return f"{facts.mark(conn)} {len(files)} {changed} {code_digest()}"


def _add(builder: Builder, name: str, pages: Callable[[], Iterator[Page]]) -> None:
    """Make a group of pages. That it cannot say which pages it has hurts no other group."""

    def each() -> None:
        for page in pages():
            builder.add(page)

    builder.attempt(name, each)


def _add_search(builder: Builder, catalogue: Catalogue, found: dict[str, documents.Document]) -> None:
    index = catalogue.search_index() + [[d.title, "page", d.summary, d.page] for d in found.values()]
    # A script, because pages opened as files may not fetch.
    builder.add_text(
        "assets/search-index.js", f"window.SITE_INDEX = {json.dumps(index, ensure_ascii=False)};\n"
    )
