"""The list of audits on the front page of Data Docs, as text: an audit is added without making the other rows again.

The template ``bootstrap_table.j2`` marks where a row of an audit starts and where the last one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

_ROW = '<tr data-audit="'
_END = "<!-- no more audits -->"


def link(place: str) -> str:
    """The link to the page of an audit at ``<suite, one folder per dot>/<run name>/<run time>/<batch>``."""
    return quote(f"validations/{place}.html")


def suite_of(link: str) -> str:
    """The suite of an audit's page, one folder per dot."""
    return link.rsplit("/", 3)[0].removeprefix("validations/")


def rows(page: str) -> dict[str, str] | None:
    """Link → row, as they are on a front page; None when it has no such list."""
    head, end, _ = page.rpartition(_END)
    if not end:
        return None
    return {row.partition('"')[0]: row for row in head.split(_ROW)[1:]}


def with_rows(page: str, others: Mapping[str, str]) -> str:
    """A front page that lists other audits too, newest first."""
    head, end, tail = page.rpartition(_END)
    if not end:
        return page
    before, *_ = head.split(_ROW, 1)
    every = {**others, **(rows(page) or {})}
    newest_first = sorted(every, key=lambda link: link.rsplit("/", 2)[-2], reverse=True)
    return before + "".join(_ROW + every[k] for k in newest_first) + end + tail
