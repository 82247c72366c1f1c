"""Builds the site: pages about the project from its files, pages about the data as the analyst sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from lakehouse.contract import Project
from lakehouse.home.homes import S3Access
from lakehouse.home.pages import open_pages
from lakehouse.site import documents, facts, project_pages, warehouse_pages
from lakehouse.site.builder import Builder, Page, code_digest
from lakehouse.site.catalogue import Catalogue


@dataclass(frozen=True)
class Built:
    """What a build did: names of pages at ``place``; ``failed`` maps pages, or groups, to why."""

    place: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: dict[str, str]
    seconds: float


def build(place: str | Path, project: Project, analyst: Engine, s3: S3Access | None = None) -> Built:
    """Make the pages whose inputs have changed since the last build, and remove those of what is gone.

    A page that cannot be made stays as it was, and is tried again by the next build; so do all pages about the data
    when the warehouse does not answer. Two builds at once write the same pages twice.

    Args:
        place: of the site: a folder, or ``s3://<bucket>/<prefix>``; made when it is missing.
        project: its contracts, SQL and documents.
        analyst: a warehouse, as a role that cannot read personal columns.
        s3: how to reach the place, when it is not a folder.

    Raises:
        LakehouseError: nothing can be kept at ``place``.
    """
    started = time.monotonic()
    builder = Builder(open_pages(place, s3), _beside(place, s3))
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
    seconds = time.monotonic() - started
    return Built(str(place), tuple(builder.written), tuple(builder.kept), builder.failed, seconds)


def is_current(place: str | Path, project: Project, analyst: Engine, s3: S3Access | None = None) -> bool:
    """Whether a build would change nothing. Quick: nothing is read but the ledger and the dates of files."""
    builder = Builder(open_pages(place, s3))
    remembered = builder.manifest.get("")
    if not remembered or builder.pages.read("index.html") is None:
        return False
    with facts.reading(analyst, project) as conn:
        return _mark(conn, project) == remembered


def _beside(place: str | Path, s3: S3Access | None) -> tuple[tuple[str, str], ...]:
    """Data Docs, where there are some: they are next to the site, as a folder and behind Airflow's login."""
    parent = str(place).rstrip("/").rpartition("/")[0]
    there = open_pages(f"{parent}/data-docs", s3).read("index.html") is not None
    return (("../data-docs/index.html", "Data Docs"),) if there else ()


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
    script = f"window.SITE_INDEX = {json.dumps(index, ensure_ascii=False)};\n"
    builder.add_file("assets/search-index.js", script.encode())
