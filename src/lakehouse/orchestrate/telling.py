"""What tasks tell of a run: lines in their log, data in XCom, a note on the run.

A task has no way to write a note: Airflow's execution API knows none. So it leaves the text in XCom, under
:data:`NOTE`, and the scheduler puts it on the run when that has ended (``plugins/run_notes.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.quality.report import Report

#: XCom key of the text that becomes the run's note.
NOTE = "note"
#: XCom key of what a task returns; one that fails returns nothing, and pushes it.
RESULT = "return_value"

log = logging.getLogger(__name__)
_LEVELS = {"hard": logging.ERROR, "soft": logging.WARNING}


def tell_audit(report: Report, page: str = "") -> None:
    """Log a gate's report: causes, every rule that did not hold, rows per table, where to look; ``page`` has it too."""
    from lakehouse.quality import report as text

    worst = logging.ERROR if report.hard else logging.WARNING if report.broken else logging.INFO
    log.log(worst, "%s", text.headline(report))
    _lines([f"page: {page}"] if page else [])
    _lines(map(str, report.refused), logging.ERROR if report.hard else logging.WARNING)
    for severity, line in text.rule_lines(report):
        log.log(_LEVELS.get(severity, logging.INFO), "%s", line)
    if report.left_out:
        log.log(worst, "… and %d more in ops.quality_result", report.left_out)
    _lines(text.row_lines(report))
    _lines(f"look: {query}" for query in report.look)


def tell_rows(report: Report) -> None:
    """Log what became of the rows of each table."""
    from lakehouse.quality import report as text

    _lines(text.row_lines(report))


def leave_note(ti: Any, text: str) -> None:
    """Leave a text that becomes the run's note, in place of what an earlier task has left."""
    from lakehouse.quality.report import NOTE_CHARACTERS

    ti.xcom_push(key=NOTE, value=text if len(text) <= NOTE_CHARACTERS else text[: NOTE_CHARACTERS - 1] + "…")


def _lines(lines: Iterable[str], level: int = logging.INFO) -> None:
    for line in lines:
        log.log(level, "%s", line)
