"""Land a source's files: check all of them, upload them, and only then make the delivery visible."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.contract import Contract, Project
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.landing.defects import defect, several
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.manifest import (
    Manifest,
    ManifestFile,
    checked_partition_key,
    delivery_prefix,
    manifest_key,
    read_manifest,
    write_manifest,
)
from lakehouse.landing.origins import find_file, origin
from lakehouse.landing.split import split_by_day
from lakehouse.landing.stream import Digest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Called with what is being done, bytes done and bytes in all.
Progress = Callable[[str, int, int], None]
Action = Literal["landed", "superseded", "already landed"]

_TRANSFER = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, max_concurrency=4)


@dataclass(frozen=True)
class LocalFile:
    """A checked file, ready to be uploaded. ``rows`` are data rows, without the header."""

    table: str
    path: Path
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class LandingReport:
    """What became of one delivery. ``uploaded`` names the files that were sent; the others were there."""

    source: str
    partition_key: str
    action: Action
    files: tuple[LocalFile, ...]
    uploaded: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Data rows of all files."""
        return sum(f.rows for f in self.files)


def land(
    homes: Homes,
    project: Project,
    source: str,
    folder: Path,
    partition_key: str | None = None,
    progress: Progress | None = None,
) -> list[LandingReport]:
    """Land every file of a source that is in ``folder``; one report per delivery, oldest first.

    Every file is read to its end before the first byte is uploaded, and the manifest is written last, so a
    broken file or an interrupted upload leaves nothing that a reader could take for a delivery. The same bytes
    again change nothing; other bytes for a date supersede its delivery.

    Args:
        partition_key: the delivery's date. Default: the last day found in the source's delivery date column.
            Tables of events are split into one delivery per day; then it picks one of these days.

    Raises:
        FileDefect: files are missing or broken; names all of them, nothing was uploaded.
        LakehouseError: the date cannot be told, or the object store does not answer.
    """
    report = progress or _silent
    contracts = project.tables(source)
    if partition_key is not None:
        checked_partition_key(partition_key)
    paths = _find_files(source, folder, contracts)
    with tempfile.TemporaryDirectory(prefix="lakehouse-landing-") as work:
        deliveries = _check_all(source, contracts, paths, Path(work), partition_key, report)
        with _store_errors(homes):
            s3 = homes.s3_client()
            _ensure_bucket(s3, homes.bucket)
            return [
                _deliver(s3, homes.bucket, source, day, files, report)
                for day, files in sorted(deliveries.items())
            ]


def _silent(_label: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def _find_files(source: str, folder: Path, contracts: tuple[Contract, ...]) -> dict[str, Path]:
    """The file of every table, by table.

    Raises:
        FileDefect: files are missing.
    """
    advice = origin(source).advice
    found = {c.table: find_file(folder, c) for c in contracts}
    if not any(found.values()):
        raise FileDefect(f"There is no file of {source} in {folder}.", advice)
    missing = [defect(str(folder / c.file_name), "the file is missing", "") for c in contracts if not found[c.table]]
    if missing:
        raise several(missing, f"The delivery of {source} is not complete.", advice)
    return {table: path for table, path in found.items() if path}


def _check_all(
    source: str,
    contracts: tuple[Contract, ...],
    paths: dict[str, Path],
    work: Path,
    partition_key: str | None,
    report: Progress,
) -> dict[str, list[LocalFile]]:
    """Read every file to its end; the files of each delivery by date.

    Raises:
        FileDefect: at least one file is broken; names every broken one.
    """
    days: dict[str, list[LocalFile]] = defaultdict(list)
    undated: list[LocalFile] = []
    last_days: list[str] = []
    broken: list[FileDefect] = []
    for contract in contracts:
        path = paths[contract.table]
        try:
            if contract.partition_column:
                for day, file in _check_events(contract, path, work / contract.table, report):
                    days[day].append(file)
            else:
                file, last_day = _check_file(contract, path, report)
                undated.append(file)
                last_days += [last_day] if last_day else []
        except FileDefect as error:
            broken.append(error)
    if broken:
        raise several(broken, "Nothing was landed.", "Mend the files and land again.")
    if undated:
        day = partition_key or max(last_days, default=None) or max(days, default=None)
        if day is None:
            raise LakehouseError(
                f"The files of {source} do not tell their delivery's date.", "Name it: --date YYYY-MM-DD"
            )
        days[day] += undated
    if partition_key is not None:
        if partition_key not in days:
            raise LakehouseError(
                f"There is no row of {partition_key} in the files of {source}.",
                f"They hold {min(days)} … {max(days)}; leave out --date to land every day.",
            )
        return {partition_key: days[partition_key]}
    return dict(days)


def _check_file(contract: Contract, path: Path, report: Progress) -> tuple[LocalFile, str | None]:
    """A table's file and, when its contract names a delivery date column, the last day in it."""
    digest, rows = Digest(), 0
    dated = contract.column(contract.delivery_date_column) if contract.delivery_date_column else None
    last_day = ""
    for batch in _reported(contract, path, digest, report):
        rows += batch.num_rows
        if dated:
            last_day = max(last_day, _last_day(batch.column(dated.raw_name)))
    if dated and not last_day:
        raise defect(
            path.name,
            "no row has a date (yyyy-MM-dd …), so the delivery's date cannot be told",
            "Check the column.",
            column=dated.source_name,
        )
    return LocalFile(contract.name, path, rows, digest.bytes, digest.sha256), last_day or None


def _check_events(
    contract: Contract, path: Path, work: Path, report: Progress
) -> Iterator[tuple[str, LocalFile]]:
    """The days of a table of events, split into files below ``work``."""
    batches = _reported(contract, path, Digest(), report)
    for day in split_by_day(batches, contract, work, path.name):
        yield day.partition_key, LocalFile(contract.name, day.path, day.rows, day.bytes, day.sha256)


def _reported(contract: Contract, path: Path, digest: Digest, report: Progress) -> Iterator[pa.RecordBatch]:
    total = path.stat().st_size
    for batch in read_batches(path, contract, path.name, digest):
        report(f"check {path.name}", digest.bytes, total)
        yield batch
    report(f"check {path.name}", total, total)


def _last_day(values: pa.Array) -> str:
    """The greatest date that values begin with, '' when none does."""
    dates = pc.filter(values, pc.match_substring_regex(values, r"^\d{4}-\d{2}-\d{2}"))
    last = pc.max(dates).as_py()
    return last[:10] if last else ""


def _deliver(
    s3: S3Client, bucket: str, source: str, day: str, files: list[LocalFile], report: Progress
) -> LandingReport:
    """Upload one delivery: old manifest away, changed files, new manifest, leftovers away."""
    prefix = delivery_prefix(source, day)
    keys = {prefix + file.path.name: file for file in files}
    wanted = Manifest.of(
        source,
        day,
        [ManifestFile(table=f.table, key=k, bytes=f.bytes, sha256=f.sha256) for k, f in keys.items()],
    )
    served = read_manifest(s3, bucket, source, day)
    if served and served.same_content(wanted):
        return LandingReport(source, day, "already landed", tuple(files), ())
    there = {f.key: f.sha256 for f in served.files} if served else {}
    changed = {k: f for k, f in keys.items() if there.get(k) != f.sha256}
    if served:
        # From here until the new manifest there is no delivery: nobody may read new bytes by an old manifest.
        s3.delete_object(Bucket=bucket, Key=manifest_key(source, day))
    for key, file in changed.items():
        _upload(s3, bucket, key, file, f"upload dt={day}/{file.path.name}", report)
    write_manifest(s3, bucket, wanted)
    for key in sorted(there.keys() - keys.keys()):
        s3.delete_object(Bucket=bucket, Key=key)
    action: Action = "superseded" if served else "landed"
    return LandingReport(source, day, action, tuple(files), tuple(f.path.name for f in changed.values()))


def _upload(s3: S3Client, bucket: str, key: str, file: LocalFile, label: str, report: Progress) -> None:
    done, lock = 0, threading.Lock()

    def count(sent: int) -> None:
        nonlocal done
        with lock:
            done += sent
            report(label, done, file.bytes)

    s3.upload_file(
        str(file.path),
        bucket,
        key,
        ExtraArgs={"Metadata": {"sha256": file.sha256}},
        Callback=count,
        Config=_TRANSFER,
    )


def _ensure_bucket(s3: S3Client, bucket: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"404", "NoSuchBucket"}:
            raise
        s3.create_bucket(Bucket=bucket)


@contextmanager
def _store_errors(homes: Homes) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise LakehouseError(
            f"The object store at {homes.s3.endpoint or 'AWS'} did not take the files: {error}",
            "Check it with `lakehouse status`, then land again; what was half uploaded is not visible.",
        ) from error
