"""A file of events that covers several days becomes one file per day, while it streams by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip

from lakehouse.contract import Column, Contract
from lakehouse.landing.defects import defect
from lakehouse.landing.delimited import SOURCE_LINE
from lakehouse.landing.stream import Digest, is_gzip

#: Speed over size: landed files are read once.
_GZIP_LEVEL = 1


@dataclass(frozen=True)
class DayFile:
    """One day of events, gzip-compressed CSV with the original header."""

    partition_key: str
    path: Path
    rows: int
    bytes: int
    sha256: str


class DaySplitter:
    """Writes each batch's rows to the file of their day. Days may interleave; order within a day is kept.

    The same rows give the same bytes: no name or time goes into the gzip header.
    """

    def __init__(self, contract: Contract, folder: Path, file: str) -> None:
        self._contract = contract
        self._column = contract.column(contract.partition_column or "")
        self._folder = folder
        self._file = file
        self._open: dict[str, IO[bytes]] = {}
        self._rows: dict[str, int] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Append a batch of :func:`~lakehouse.landing.delimited.read_batches`.

        Raises:
            FileDefect: a row's time cannot be read, so its day is not known.
        """
        days = self.days(batch)
        rows = batch.drop_columns([SOURCE_LINE])
        distinct = [str(day) for day in pc.unique(days).to_pylist()]
        for day in distinct:
            part = rows if len(distinct) == 1 else rows.filter(pc.equal(days, pa.scalar(day)))
            frame = cast(pl.DataFrame, pl.from_arrow(part))
            frame.write_csv(self._stream(day), include_header=False)
            self._rows[day] += part.num_rows

    def finish(self) -> list[DayFile]:
        """Close the files; one entry per day, in order of the days."""
        self._closing.close()
        return [self._described(day) for day in sorted(self._open)]

    def _stream(self, day: str) -> IO[bytes]:
        if day not in self._open:
            self._open[day] = self._created(self._path(day))
            self._rows[day] = 0
            header = ",".join(column.source_name for column in self._contract.columns)
            self._open[day].write(f"{header}\n".encode())
        return self._open[day]

    def _created(self, path: Path) -> IO[bytes]:
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = self._closing.enter_context(path.open("wb"))
        packed = igzip.IGzipFile(  # type: ignore[no-untyped-call]
            filename="", fileobj=stored, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0
        )
        return cast(IO[bytes], self._closing.enter_context(packed))

    def _path(self, day: str) -> Path:
        return self._folder / day / self._contract.file_name

    def _described(self, day: str) -> DayFile:
        path = self._path(day)
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        return DayFile(day, path, self._rows[day], path.stat().st_size, checksum)

    def days(self, batch: pa.RecordBatch) -> pa.StringArray:
        """The day (``YYYY-MM-DD``) of every row."""
        values = batch.column(self._column.raw_name)
        pattern, width, layout = _day_format(self._column)
        readable = pc.match_substring_regex(values, pattern)
        broken = pc.index(readable, pa.scalar(False)).as_py()
        if broken >= 0:
            raise self._unreadable(batch, broken)
        written = pc.utf8_slice_codeunits(values, 0, width)
        names = pc.unique(written)
        days = [_iso_day(str(name), layout) for name in names.to_pylist()]
        if None in days:
            first = pc.index(written, names[days.index(None)]).as_py()
            raise self._unreadable(batch, first)
        found = pc.index_in(written, value_set=names)
        return pa.array(days, pa.string()).take(found)

    def _unreadable(self, batch: pa.RecordBatch, row: int) -> Exception:
        expected = self._column.source_format or "yyyy-MM-dd …"
        return defect(
            self._file,
            f"the time is not written as {expected}, so the row's day is not known",
            "Mend or remove the row.",
            line=batch.column(SOURCE_LINE)[row].as_py(),
            column=self._column.source_name,
        )


def split_by_day(
    read: Callable[[Digest], Iterator[pa.RecordBatch]], contract: Contract, folder: Path, path: Path
) -> list[DayFile]:
    """One file per day of events: of several days ``folder/<day>/<contract.file_name>``, of one day the file itself.

    Args:
        read: reads the file from its beginning.
        contract: of the events.
        folder: where files may be written.
        path: the file. When it is compressed and holds one day it is left as it is.

    Raises:
        FileDefect: the file is broken, or a row's day cannot be told.
    """
    whole = _whole_day(read, contract, path) if is_gzip(path) else None
    if whole:
        return [whole]
    with DaySplitter(contract, folder, path.name) as splitter:
        for batch in read(Digest()):
            splitter.add(batch)
        return splitter.finish()


def _whole_day(
    read: Callable[[Digest], Iterator[pa.RecordBatch]], contract: Contract, path: Path
) -> DayFile | None:
    """The file as the one of its only day; None as soon as it shows a second one."""
    splitter, digest, rows, found = DaySplitter(contract, path.parent, path.name), Digest(), 0, ""
    for batch in read(digest):
        days = [str(day) for day in pc.unique(splitter.days(batch)).to_pylist()]
        if len(days) > 1 or found not in ("", days[0]):
            return None
        found, rows = days[0], rows + batch.num_rows
    return DayFile(found, path, rows, digest.size, digest.sha256) if rows else None


def _day_format(column: Column) -> tuple[str, int, str]:
    """Pattern of the whole value, length of its part that names the day, and that part's layout."""
    if column.source_format == "yyMMddHH":
        return r"^\d{6}([01]\d|2[0-3])$", 6, "%y%m%d"
    return r"^\d{4}-\d{2}-\d{2}", 10, "%Y-%m-%d"


def _iso_day(text: str, layout: str) -> str | None:
    try:
        return datetime.strptime(text, layout).date().isoformat()
    except ValueError:
        return None
