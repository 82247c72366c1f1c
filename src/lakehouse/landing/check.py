"""Find a source's files and read every one of them to its end before anything is uploaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lakehouse.contract import Contract
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.landing.dates import DayReader
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
        FileDefect: files are missing or broken, or a value cannot date a delivery; names every one.
        LakehouseError: the date cannot be told, or no row is of that date.
    """
    paths = _find_files(contracts, folder)
    broken: list[FileDefect] = []
    with open_session(None) as session:
        checked = _Checked(session, partition_key, work, report)
        for contract in contracts:
            try:
                checked.add(contract, paths[contract.table])
            except FileDefect as error:
                broken.append(error)
    if broken:
        raise several(broken, "Nothing was landed.", "Mend the files and land again.")
    return checked.deliveries(contracts[0].source)


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
    """What the files hold: those of known days (events), the others, and the last day found in these.

    ``partition_key`` is the date that was named; then no entity's value dates the delivery, so none is judged.
    """

    session: Session
    partition_key: str | None
    work: Path
    report: Progress
    days: dict[str, list[LocalFile]] = field(default_factory=lambda: defaultdict(list))
    undated: list[LocalFile] = field(default_factory=list)
    last_day: str = ""

    def add(self, contract: Contract, path: Path) -> None:
        if contract.partition_column:
            self._add_days(contract, path, contract.partition_column)
        else:
            self.undated.append(self._check(contract, path))

    def _add_days(self, contract: Contract, path: Path, column: str) -> None:
        def read(digest: Digest) -> Generator[pa.RecordBatch]:
            return _reported(contract, path, digest, self.report)

        reader = DayReader(self.session, contract, column, path.name)
        for day in split_by_day(read, contract, self.work / contract.table, path, reader):
            file = LocalFile(contract.name, contract.file_name, day.path, day.rows, day.bytes, day.sha256)
            self.days[day.partition_key].append(file)
        if self.partition_key is None:
            reader.last_day()

    def _check(self, contract: Contract, path: Path) -> LocalFile:
        digest, rows, reader = Digest(), 0, None
        column = contract.delivery_date_column
        if column and self.partition_key is None:
            reader = DayReader(self.session, contract, column, path.name)
        with closing(_reported(contract, path, digest, self.report)) as batches:
            for batch in batches:
                rows += batch.num_rows
                if reader:
                    reader.days(batch)
        if reader and rows:
            self.last_day = max(self.last_day, _dated(reader, contract, path.name))
        return LocalFile(contract.name, path.name, path, rows, digest.size, digest.sha256)

    def deliveries(self, source: str) -> dict[str, list[LocalFile]]:
        named = self.partition_key
        if self.undated:
            day = named or self.last_day or max(self.days, default="")
            if not day:
                raise LakehouseError(
                    f"The files of {source} do not tell their delivery's date.", "Name it: --date YYYY-MM-DD"
                )
            self.days[day] += self.undated
        if named is None:
            return dict(self.days)
        if named not in self.days:
            raise LakehouseError(
                f"There is no row of {named} in the files of {source}.",
                f"They hold {min(self.days)} … {max(self.days)}; leave out --date to land every day.",
            )
        return {named: self.days[named]}


def _dated(reader: DayReader, contract: Contract, file: str) -> str:
    """The last day of a file.

    Raises:
        FileDefect: it has none, or one that is far from the others.
    """
    last = reader.last_day()
    if not last:
        raise defect(
            file,
            "no row has a date (yyyy-MM-dd …), so the delivery's date cannot be told",
            "Check the column, or name the date: --date YYYY-MM-DD.",
            column=contract.column(contract.delivery_date_column or "").source_name,
        )
    return last


def _reported(contract: Contract, path: Path, digest: Digest, report: Progress) -> Generator[pa.RecordBatch]:
    total = path.stat().st_size
    with closing(read_batches(path, contract, path.name, digest)) as batches:
        for batch in batches:
            report(f"check {path.name}", digest.size, total)
            yield batch
    report(f"check {path.name}", total, total)
