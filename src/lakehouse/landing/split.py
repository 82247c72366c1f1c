"""A file of events that covers several days becomes one file per day, while it streams by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip

from lakehouse.contract import Contract
from lakehouse.landing.dates import DayReader
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

    def __init__(self, contract: Contract, folder: Path, reader: DayReader) -> None:
        self._contract = contract
        self._folder = folder
        self._reader = reader
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
            FileDefect: a row's day is not known or cannot be (see :mod:`lakehouse.landing.dates`).
        """
        days = self._reader.days(batch)
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


def split_by_day(
    read: Callable[[Digest], Generator[pa.RecordBatch]],
    contract: Contract,
    folder: Path,
    path: Path,
    reader: DayReader,
) -> list[DayFile]:
    """One file per day of events: of several days ``folder/<day>/<contract.file_name>``, of one day the file itself.

    Args:
        read: reads the file from its beginning.
        contract: of the events.
        folder: where files may be written.
        path: the file. When it is compressed and holds one day it is left as it is.
        reader: tells the days.

    Raises:
        FileDefect: the file is broken, or a row's day cannot be.
    """
    whole = _whole_day(read, path, reader) if is_gzip(path) else None
    if whole:
        return [whole]
    with closing(read(Digest())) as batches, DaySplitter(contract, folder, reader) as splitter:
        for batch in batches:
            splitter.add(batch)
        return splitter.finish()


def _whole_day(
    read: Callable[[Digest], Generator[pa.RecordBatch]], path: Path, reader: DayReader
) -> DayFile | None:
    """The file as the one of its only day; None as soon as it shows a second one."""
    digest, rows = Digest(), 0
    with closing(read(digest)) as batches:
        for batch in batches:
            reader.days(batch)
            if len(reader.lines) > 1:
                return None
            rows += batch.num_rows
    return DayFile(next(iter(reader.lines)), path, rows, digest.size, digest.sha256) if rows else None
