"""How long people wait: the questions of ``sql/kpi``, asked as the analyst and timed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2.errors import UndefinedTable
from sqlalchemy.exc import ProgrammingError

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class Timing:
    """One question: how long it took each time, in seconds; empty when its tables are not there."""

    question: str
    seconds: tuple[float, ...]


def questions(project: Path) -> list[Path]:
    """The files with a question each, in order of their names."""
    return sorted((project / "sql/kpi").glob("*.sql"))


def ask(analyst: Engine, files: Sequence[Path], times: int) -> list[Timing]:
    """Ask every question ``times`` times, one after the other, and fetch all of each answer.

    The rounds are told apart, not the questions: no answer is asked for twice in a row.
    """
    found: dict[Path, list[float]] = {path: [] for path in files}
    for _ in range(times):
        for path in files:
            seconds = _ask(analyst, path.read_text(encoding="utf-8"))
            if seconds is not None:
                found[path].append(seconds)
    return [Timing(path.stem, tuple(seconds)) for path, seconds in found.items()]


def _ask(analyst: Engine, query: str) -> float | None:
    from sqlalchemy import text

    with analyst.connect() as conn:
        started = time.monotonic()
        try:
            conn.execute(text(query)).all()
        except ProgrammingError as error:
            if isinstance(error.orig, UndefinedTable):
                return None  # this project has no such table
            raise
        return time.monotonic() - started


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
