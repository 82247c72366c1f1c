"""Which day a row is of, read as silver reads it, and whether that day may date a delivery.

A delivery is dated once, for good: one wrong value in the last row would put it years away from the others. So every
day that could do that is judged before anything is uploaded. Texts are read by the expression that the conform query
uses, in a session of the engine, and only the distinct ones of each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.compile.conform import MOMENT, value_sql
from lakehouse.contract import Contract
from lakehouse.contract.model import ColumnType
from lakehouse.engine.session import Session
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.landing.defects import defect
from lakehouse.landing.delimited import SOURCE_LINE

if TYPE_CHECKING:
    _Encoded = pa.DictionaryArray[Any, Any]

#: A last day this far from the one before it is more often a wrong value than a true one.
FAR_DAYS = 60
_DAY_LENGTH = len("yyyy-MM-dd")
#: Texts whose day is remembered. Hours and days are few; what a file may hold beyond that must not fill the memory.
_REMEMBERED = 20_000


def latest_date() -> date:
    """The last day that is not in the future, UTC: a day after now, whatever zone a source lives in."""
    return (datetime.now(UTC) + timedelta(days=1)).date()


def judge_partition_key(partition_key: str, contracts: Sequence[Contract]) -> None:
    """Refuse a named date (``YYYY-MM-DD``) that no delivery of these tables can have.

    Raises:
        LakehouseError: it is in the future, or earlier than every table's ``earliestDate``.
    """
    day, latest = date.fromisoformat(partition_key), latest_date()
    earliest = min(c.earliest_date for c in contracts)
    if day > latest:
        raise LakehouseError(
            f"--date {partition_key} is a future day: more than a day after now (UTC).",
            f"Name the day of the delivery, {latest} at the latest.",
        )
    if day < earliest:
        raise LakehouseError(
            f"--date {partition_key} is an ancient day: before {earliest}.",
            "Name the day of the delivery; the contract's earliestDate says how early it may be.",
        )


class DayReader:
    """Reads the days of the column that dates a file or splits it, and refuses those that cannot be.

    Attributes:
        lines: every day found so far (``YYYY-MM-DD``) → the line of its first row.
    """

    def __init__(self, session: Session, contract: Contract, column: str, file: str) -> None:
        """Read ``column`` (our name) of ``file`` (as the person knows it)."""
        self._session = session
        self._splits = contract.partition_column == column
        self._column = contract.column(column)
        self._file = file
        self._earliest, self._latest = contract.earliest_date.isoformat(), latest_date().isoformat()
        day = value_sql(self._column, "written")
        text = value_sql(replace(self._column, type=ColumnType("text")), "written")
        values = f"written, cast(cast({day} as date) as text), {text} is null"
        # Of names that the contract reader has checked.
        self._query = f"select {values} from unnest(?) as t (written)"  # noqa: S608
        self._known: dict[str, str | None] = {}
        self.lines: dict[str, int] = {}

    def days(self, batch: pa.RecordBatch) -> pa.Array[Any]:
        """The day of every row of a batch of :func:`~lakehouse.landing.delimited.read_batches`.

        Null where the column is empty, unless it splits the file.

        Raises:
            FileDefect: a value is impossible, in the future or ancient (or empty where it splits the file).
        """
        encoded = self._written(batch).dictionary_encode()
        texts = _texts(encoded)
        self._learn([text for text in texts if text not in self._known], batch, encoded)
        days = [self._known[text] for text in texts]
        for position, day in enumerate(days):
            if day is not None and day not in self.lines:
                self.lines[day] = _line(batch, encoded, position)
        return pa.array(days, pa.string()).take(encoded.indices)

    def last_day(self) -> str:
        """The last day found, '' when there is none.

        Raises:
            FileDefect: it is far from the one before it, so that a person has to name the date.
        """
        *_, before, last = ["", "", *sorted(self.lines)]
        gap = (date.fromisoformat(last) - date.fromisoformat(before)).days if before else 0
        if gap > FAR_DAYS:
            what = "the day to land" if self._splits else "the delivery's date"
            raise defect(
                self._file,
                f"the last day, {last}, is {gap:,} days after the one before it, {before}",
                f"Mend the row if its day is wrong; else name {what}: --date YYYY-MM-DD.",
                line=self.lines[last],
                column=self._column.source_name,
            )
        return last

    def _written(self, batch: pa.RecordBatch) -> pa.Array[Any]:
        """The texts that tell the days. Of a whole moment its day, so that few differ; the rest as they are."""
        values = batch.column(self._column.raw_name)
        if self._column.source_format:
            return values
        whole = pc.match_substring_regex(values, MOMENT)
        return cast(
            "pa.Array[Any]", pc.if_else(whole, pc.utf8_slice_codeunits(values, 0, _DAY_LENGTH), values)
        )

    def _learn(self, texts: list[str], batch: pa.RecordBatch, encoded: _Encoded) -> None:
        """Read and judge texts that have not been met."""
        if not texts:
            return
        if len(self._known) > _REMEMBERED:
            self._known = {}
            texts = _texts(encoded)
        read = {
            t: (day, empty)
            for t, day, empty in self._session.connection.execute(self._query, [texts]).fetchall()
        }
        for text in texts:
            day, empty = read[text]
            problem = self._problem(day, empty=empty)
            if problem:
                position = pc.index(encoded.dictionary, pa.scalar(text)).as_py()
                raise self._refused(problem, _line(batch, encoded, position))
            self._known[text] = day

    def _problem(self, day: str | None, *, empty: bool) -> str:
        """What is wrong with a value, '' when nothing is."""
        if empty:
            return "no value, so the row's day is not known" if self._splits else ""
        if day is None:
            written = self._column.source_format or "yyyy-MM-dd …"
            return f"an impossible value: not a moment of the calendar written as {written}"
        if day > self._latest:
            return "a future day: more than a day after now (UTC)"
        if day < self._earliest:
            return f"an ancient day: before {self._earliest}"
        return ""

    def _refused(self, problem: str, line: int) -> FileDefect:
        remove = "Mend or remove the row."
        name = (
            "Mend the row, or name the delivery's date: --date YYYY-MM-DD; the row is then judged in silver."
        )
        hint = remove if self._splits else name
        return defect(self._file, problem, hint, line=line, column=self._column.source_name)


def _texts(encoded: _Encoded) -> list[str]:
    """The distinct texts, in the order in which they first occur."""
    return [str(text) for text in encoded.dictionary.to_pylist()]


def _line(batch: pa.RecordBatch, encoded: _Encoded, position: int) -> int:
    """The line of the first row that has a text of the dictionary."""
    row = pc.index(encoded.indices, pa.scalar(position, encoded.indices.type)).as_py()
    return int(batch.column(SOURCE_LINE)[row].as_py())
