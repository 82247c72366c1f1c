"""The pages about the project: documents, decisions, runbooks, lineage. They change when files do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lakehouse.compile.lineage import Lineage
from lakehouse.contract import Project
from lakehouse.site import documents
from lakehouse.site.builder import Page
from lakehouse.site.catalogue import Catalogue, drawn
from lakehouse.site.documents import Document

_ADR = re.compile(r"sql/adr/(\d{4})-[^/]+\.md")
_RUNBOOK = "docs/runbooks/"
#: Places of the drawn lineage, in pixels.
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 156, 28, 24, 10

Groups = dict[str, Callable[[], Iterator[Page]]]


def groups(project: Project, catalogue: Catalogue, found: Mapping[str, Document]) -> Groups:
    """The groups of pages by name; each gives its pages when it is called."""
    return {
        "lineage": lambda: _lineage(project, catalogue),
        "documents": lambda: _documents(project, catalogue, found),
        "lists of documents": lambda: _lists(found),
    }


def _documents(project: Project, catalogue: Catalogue, found: Mapping[str, Document]) -> Iterator[Page]:
    def locate(path: str) -> str | None:
        return page_of(path, catalogue, found)

    # Which links lead somewhere depends on what there is.
    known = sorted(found) + sorted(catalogue.tables)
    for document in found.values():

        def fill(document: Document = document) -> dict[str, Any]:
            return {"document": document, "rendered": documents.render(document, locate)}

        yield Page(document.page, "document.html", _section(document), (document.text, known), fill)


def page_of(path: str, catalogue: Catalogue, found: Mapping[str, Document]) -> str | None:
    """The page of the site that shows a path of the project; None when there is none."""
    if path in found:
        return found[path].page
    if path in ("docs", "docs/runbooks"):
        return {"docs": "docs.html", "docs/runbooks": "runbooks.html"}[path]
    known = {
        r"sql/gold/(\w+)\.sql": "gold.{}",
        r"contracts/gold/(\w+)\.yaml": "gold.{}",
        r"sql/ods/(\w+?)(?:\.conform)?\.sql": "ods.{}",
        r"sql/raw/(\w+)\.sql": "ods.{}",
    }
    for pattern, relation in known.items():
        match = re.fullmatch(pattern, path)
        if match:
            return catalogue.page(relation.format(match[1]))
    landed = re.fullmatch(r"contracts/(\w+)/(\w+)\.yaml", path)
    return catalogue.page(f"ods.{landed[1]}_{landed[2]}") if landed else None


def _section(document: Document) -> str:
    if _ADR.fullmatch(document.path):
        return "decisions.html"
    return "runbooks.html" if document.path.startswith(_RUNBOOK) else "docs.html"


def _lists(found: Mapping[str, Document]) -> Iterator[Page]:
    decisions = [d for d in found.values() if _ADR.fullmatch(d.path)]
    runbooks = [d for d in found.values() if d.path.startswith(_RUNBOOK)]
    others = [d for d in found.values() if d not in decisions and d not in runbooks]
    listed = {
        "decisions.html": [_decision(d) for d in sorted(decisions, key=lambda d: d.path, reverse=True)],
        "runbooks.html": [{"document": d} for d in runbooks],
        "docs.html": [{"document": d} for d in others],
    }
    for page, entries in listed.items():
        depends = [(e["document"].path, e["document"].text) for e in entries]

        def fill(entries: list[dict[str, Any]] = entries) -> dict[str, Any]:
            return {"entries": entries}

        yield Page(page, page, page, depends, fill)


def _decision(document: Document) -> dict[str, Any]:
    """What a list says of a decision: its number, its state, and the first words of what was decided."""
    number = _ADR.fullmatch(document.path)
    status = re.search(r"^- Status: *(.+?)\s*$", document.text, re.MULTILINE)
    said = status[1] if status else "accepted"
    superseded = re.match(r"superseded\D*(\d{4})", said, re.IGNORECASE)
    decided = re.search(r"^## Decision\s+(.+?)(?:\n\s*\n|\Z)", document.text, re.MULTILINE | re.DOTALL)
    summary = Document("", decided[1]).summary if decided else document.summary
    return {
        "document": document,
        "number": number[1] if number else "",
        "title": re.sub(r"^(ADR )?\d{4}\W*", "", document.title),
        "status": "superseded" if superseded else said.split()[0].lower(),
        "by": superseded[1] if superseded else "",
        "summary": summary,
    }


def _lineage(project: Project, catalogue: Catalogue) -> Iterator[Page]:
    queries = {t.name: t.sql for t in catalogue.tables.values()}
    shape = hashlib.sha256(repr((catalogue.lineages, queries, _meanings(catalogue))).encode()).hexdigest()

    def fill() -> dict[str, Any]:
        return {
            "graphs": [_graph(source, lineage, catalogue) for source, lineage in catalogue.lineages.items()],
            "tables": catalogue.tables,
            "queries": {n: documents.highlight_sql(t.sql) for n, t in catalogue.tables.items()},
            "columns": {
                n: [[c.name, c.type.sql, t.made_of(c)] for c in t.contract.columns]
                for n, t in catalogue.tables.items()
            },
        }

    yield Page("lineage.html", "lineage.html", "lineage.html", shape, fill)


def _meanings(catalogue: Catalogue) -> list[tuple[str, str, Any]]:
    return [(t.name, t.contract.description, sorted(t.columns.items())) for t in catalogue.tables.values()]


def _graph(source: str, lineage: Lineage, catalogue: Catalogue) -> dict[str, Any]:
    placed = {p.key: p for p in drawn(lineage)}
    columns = 1 + max(p.column for p in placed.values())
    rows = 1 + max(p.row for p in placed.values())
    x = {k: p.column * (_WIDTH + _GAP_X) for k, p in placed.items()}
    y = {k: p.row * (_HEIGHT + _GAP_Y) for k, p in placed.items()}
    half = _HEIGHT / 2

    def curve(a: str, b: str) -> str:
        x1, y1, x2, y2 = x[a] + _WIDTH, y[a] + half, x[b], y[b] + half
        bend = max(24.0, (x2 - x1) / 2)
        return f"M{x1:.0f},{y1:.1f}C{x1 + bend:.0f},{y1:.1f} {x2 - bend:.0f},{y2:.1f} {x2:.0f},{y2:.1f}"

    return {
        "source": source,
        "width": columns * (_WIDTH + _GAP_X) - _GAP_X,
        "height": rows * (_HEIGHT + _GAP_Y) - _GAP_Y,
        "node_width": _WIDTH,
        "node_height": _HEIGHT,
        "nodes": [
            {
                "key": p.key,
                "name": p.name,
                "label": p.name.partition(".")[2].removeprefix(f"{source}_") if p.stage != "file" else p.name,
                "stage": p.stage,
                "x": x[p.key],
                "y": y[p.key],
                "page": catalogue.page(p.name) if p.stage != "file" else catalogue.page(f"ods.{p.table}"),
                "relation": p.name if p.stage in ("silver", "gold") else f"ods.{p.table}",
            }
            for p in placed.values()
        ],
        "edges": [{"from": a, "to": b, "path": curve(a, b)} for a, b in lineage.edges],
    }
