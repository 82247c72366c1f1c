"""Find a source's files and read every one of them to its end before anything is uploaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contract import Contract
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.landing.defects import defect, several
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.origins import find_file, origin
from lakehouse.landing.split import split_by_day
from lakehouse.landing.stream import Digest

#: Called with what is being done, bytes done and bytes in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LocalFile:
    """A checked file, ready to be uploaded as ``name``. ``rows`` are data rows, without the header."""

    table: str
    name: str
    path: Path
    rows: int
    bytes: int
    sha256: str


def check_files(
    contracts: tuple[Contract, ...], folder: Path, work: Path, partition_key: str | None, report: Progress
) -> dict[str, list[LocalFile]]:
    """The checked files of each delivery, by its date.

    Args:
        contracts: every table of one source.
        folder: where the files are.
        work: where files that are split into days may be written.
        partition_key: the date of what is delivered, None to find it in the files.

    Raises:
        FileDefect: files are missing or broken; names every one.
        LakehouseError: the date cannot be told, or no row is of that date.
    """
    paths = _find_files(contracts, folder)
    checked = _Checked()
    broken: list[FileDefect] = []
    for contract in contracts:
        try:
            checked.add(contract, paths[contract.table], work, report)
        except FileDefect as error:
            broken.append(error)
    if broken:
        raise several(broken, "Nothing was landed.", "Mend the files and land again.")
    return checked.deliveries(contracts[0].source, partition_key)


def _find_files(contracts: tuple[Contract, ...], folder: Path) -> dict[str, Path]:
    """The file of every table, by table.

    Raises:
        FileDefect: files are missing.
    """
    source = contracts[0].source
    advice = origin(source).advice
    found = {c.table: find_file(folder, c) for c in contracts}
    if not any(found.values()):
        raise FileDefect(f"There is no file of {source} in {folder}.", advice)
    absent = [folder / c.file_name for c in contracts if not found[c.table]]
    if absent:
        missing = [defect(str(path), "the file is missing", "") for path in absent]
        raise several(missing, f"The delivery of {source} is not complete.", advice)
    return {table: path for table, path in found.items() if path}


@dataclass
class _Checked:
    """What the files hold: those of known days (events), the others, and the last day found in these."""

    days: dict[str, list[LocalFile]] = field(default_factory=lambda: defaultdict(list))
    undated: list[LocalFile] = field(default_factory=list)
    last_day: str = ""

    def add(self, contract: Contract, path: Path, work: Path, report: Progress) -> None:
        if contract.partition_column:

            def read(digest: Digest) -> Iterator[pa.RecordBatch]:
                return _reported(contract, path, digest, report)

            for day in split_by_day(read, contract, work / contract.table, path):
                file = LocalFile(contract.name, contract.file_name, day.path, day.rows, day.bytes, day.sha256)
                self.days[day.partition_key].append(file)
        else:
            self.undated.append(self._check(contract, path, report))

    def _check(self, contract: Contract, path: Path, report: Progress) -> LocalFile:
        digest, rows, last_day = Digest(), 0, ""
        dated = contract.column(contract.delivery_date_column) if contract.delivery_date_column else None
        for batch in _reported(contract, path, digest, report):
            rows += batch.num_rows
            if dated:
                last_day = max(last_day, _last_day(batch.column(dated.raw_name)))
        if dated and rows and not last_day:
            raise defect(
                path.name,
                "no row has a date (yyyy-MM-dd …), so the delivery's date cannot be told",
                "Check the column.",
                column=dated.source_name,
            )
        self.last_day = max(self.last_day, last_day)
        return LocalFile(contract.name, path.name, path, rows, digest.size, digest.sha256)

    def deliveries(self, source: str, partition_key: str | None) -> dict[str, list[LocalFile]]:
        if self.undated:
            day = partition_key or self.last_day or max(self.days, default="")
            if not day:
                raise LakehouseError(
                    f"The files of {source} do not tell their delivery's date.", "Name it: --date YYYY-MM-DD"
                )
            self.days[day] += self.undated
        if partition_key is None:
            return dict(self.days)
        if partition_key not in self.days:
            raise LakehouseError(
                f"There is no row of {partition_key} in the files of {source}.",
                f"They hold {min(self.days)} … {max(self.days)}; leave out --date to land every day.",
            )
        return {partition_key: self.days[partition_key]}


def _reported(contract: Contract, path: Path, digest: Digest, report: Progress) -> Iterator[pa.RecordBatch]:
    total = path.stat().st_size
    for batch in read_batches(path, contract, path.name, digest):
        report(f"check {path.name}", digest.size, total)
        yield batch
    report(f"check {path.name}", total, total)


def _last_day(values: pa.Array[Any]) -> str:
    """The greatest date that values begin with, '' when none does."""
    dates = pc.filter(values, pc.match_substring_regex(values, r"^\d{4}-\d{2}-\d{2}"))
    last = pc.max(dates).as_py()
    return str(last)[:10] if last else ""
