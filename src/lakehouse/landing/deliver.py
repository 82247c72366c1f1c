"""Land a source's files: check all of them, upload them, and only then make the delivery visible."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.contract import Contract, Project
from lakehouse.contract.model import DeliveryKind
from lakehouse.errors import LakehouseError
from lakehouse.home import scratch
from lakehouse.home.homes import Homes, abort_uploads
from lakehouse.landing.check import LocalFile, Progress, check_files
from lakehouse.landing.dates import judge_partition_key
from lakehouse.landing.manifest import (
    Manifest,
    ManifestFile,
    checked_partition_key,
    delivery_prefix,
    manifest_key,
    read_manifest,
    write_manifest,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Action = Literal["landed", "superseded", "already landed"]

_TRANSFER = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, max_concurrency=4)


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
    *,
    kind: DeliveryKind | None = None,
    allow_shrink: bool = False,
    progress: Progress | None = None,
) -> list[LandingReport]:
    """Land every file of a source that is in ``folder``; one report per delivery, oldest first.

    Every file is read to its end before the first byte is uploaded, and the manifest is written last, so a
    broken file or an interrupted upload leaves nothing that a reader could take for a delivery. The same
    bytes again, of the same kind, change nothing; others for a date supersede its delivery. No delivery is touched
    unless all of them may be landed.

    Args:
        homes: where to land.
        project: knows the source's tables and their files.
        source: such as ``olist``.
        folder: holds the files under their original names.
        partition_key: the delivery's date. Default: the last day found in the source's delivery date column.
            Tables of events are split into one delivery per day; then it picks one of these days.
        kind: what every file of the delivery is. Default: what its contract says.
        allow_shrink: whether a delivery may have far fewer rows than the one it supersedes.
        progress: called now and then with what is being done, bytes done and bytes in all.

    Raises:
        FileDefect: files are missing or broken; names all of them, nothing was uploaded.
        LakehouseError: the date cannot be told or cannot be, a delivery shrinks more than its contract tolerates, or
            the object store does not answer; unless it broke off in between, nothing was uploaded.
    """
    report, contracts = progress or _silent, project.tables(source)
    if partition_key is not None:
        judge_partition_key(checked_partition_key(partition_key), contracts)
    with scratch.occupied(scratch.new_folder()) as work:
        found = check_files(contracts, folder, work, partition_key, report)
        with _store_errors(homes):
            homes.ensure_bucket()
            zone = _Zone(homes.s3_client(), homes.bucket, source, contracts, report)
            deliveries = [zone.compared(day, found[day], kind, allow_shrink) for day in sorted(found)]
            _refuse_shrinking(source, deliveries)
            return [zone.deliver(one) for one in deliveries]


def _silent(_label: str, _done: int, _total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class _Delivery:
    """What is to be landed for a day, and what is there; ``shrunk`` says which tables lose too many rows."""

    files: dict[str, LocalFile]
    wanted: Manifest
    there: Manifest | None
    shrunk: tuple[str, ...]


def _refuse_shrinking(source: str, deliveries: list[_Delivery]) -> None:
    shrunk = [line for one in deliveries for line in one.shrunk]
    if shrunk:
        lines = "\n".join(f"  - {line}" for line in shrunk)
        raise LakehouseError(
            f"Nothing was landed. What is landed would be superseded by far fewer rows:\n{lines}",
            "Look for rows that are missing, or a stray row of another day in the file (--date lands one day alone). "
            f"If they are meant to go: lakehouse land {source} --allow-shrink",
        )


@dataclass(frozen=True)
class _Zone:
    """The landing zone of one source."""

    s3: S3Client
    bucket: str
    source: str
    contracts: tuple[Contract, ...]
    report: Progress

    def compared(
        self, day: str, files: list[LocalFile], kind: DeliveryKind | None, allow_shrink: bool
    ) -> _Delivery:
        """The delivery of a day, beside the one that it would supersede. Changes nothing."""
        prefix, by_name = delivery_prefix(self.source, day), {c.name: c for c in self.contracts}
        keys = {prefix + file.name: file for file in files}
        named = [
            ManifestFile(
                table=f.table,
                key=key,
                bytes=f.bytes,
                sha256=f.sha256,
                rows=f.rows,
                kind=kind or by_name[f.table].delivery_kind,
            )
            for key, f in keys.items()
        ]
        wanted = Manifest.of(self.source, day, named, allow_shrink=allow_shrink)
        there = read_manifest(self.s3, self.bucket, self.source, day)
        shrunk: tuple[str, ...] = ()
        if there and not allow_shrink:
            found = (_shrunk(self.source, day, there, file, by_name[file.table]) for file in files)
            shrunk = tuple(line for line in found if line)
        return _Delivery(keys, wanted, there, shrunk)

    def deliver(self, one: _Delivery) -> LandingReport:
        """Upload one delivery: old manifest away, changed files, new manifest, leftovers away."""
        day, files, served = one.wanted.partition_key, tuple(one.files.values()), one.there
        if served and served.holds(one.wanted):
            return LandingReport(self.source, day, "already landed", files, ())
        there = {f.key: f.sha256 for f in served.files} if served else {}
        changed = {k: f for k, f in one.files.items() if there.get(k) != f.sha256}
        if served:
            # Until the new manifest there is no delivery: nobody may read new bytes by the old manifest.
            self.s3.delete_object(Bucket=self.bucket, Key=manifest_key(self.source, day))
        for key, file in changed.items():
            self._upload(key, file, f"upload dt={day}/{file.name}")
        write_manifest(self.s3, self.bucket, one.wanted)
        for key in sorted(there.keys() - one.files.keys()):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        action: Action = "superseded" if served else "landed"
        names = tuple(f.name for f in changed.values())
        return LandingReport(self.source, day, action, files, names)

    def _upload(self, key: str, file: LocalFile, label: str) -> None:
        done, lock = 0, threading.Lock()

        def count(sent: int) -> None:
            nonlocal done
            with lock:
                done += sent
                self.report(label, done, file.bytes)

        self.s3.upload_file(
            str(file.path),
            self.bucket,
            key,
            ExtraArgs={"Metadata": {"sha256": file.sha256}},
            Callback=count,
            Config=_TRANSFER,
        )
        abort_uploads(self.s3, self.bucket, key)  # of a landing that was killed


def _shrunk(source: str, day: str, there: Manifest, file: LocalFile, contract: Contract) -> str:
    """How a file loses more rows than its contract tolerates; '' when it does not, or nobody knows."""
    before = there.file(file.table)
    if before is None or before.rows is None or not contract.shrinks(before.rows, file.rows):
        return ""
    return (
        f"{source} {file.table} {day}: {before.rows:,} rows are landed, this delivery has {file.rows:,} "
        f"(shrinkTolerance {contract.shrink_tolerance:g})"
    )


@contextmanager
def _store_errors(homes: Homes) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise LakehouseError(
            f"The object store at {homes.s3.endpoint or 'AWS'} did not take the files: {error}",
            "Check it with `lakehouse status`, then land again; what was half uploaded is not visible.",
        ) from error
