"""Land a source's files: check all of them, upload them, and only then make the delivery visible."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.landing.check import LocalFile, Progress, check_files
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
    progress: Progress | None = None,
) -> list[LandingReport]:
    """Land every file of a source that is in ``folder``; one report per delivery, oldest first.

    Every file is read to its end before the first byte is uploaded, and the manifest is written last, so a
    broken file or an interrupted upload leaves nothing that a reader could take for a delivery. The same
    bytes again change nothing; other bytes for a date supersede its delivery.

    Args:
        homes: where to land.
        project: knows the source's tables and their files.
        source: such as ``olist``.
        folder: holds the files under their original names.
        partition_key: the delivery's date. Default: the last day found in the source's delivery date column.
            Tables of events are split into one delivery per day; then it picks one of these days.
        progress: called now and then with what is being done, bytes done and bytes in all.

    Raises:
        FileDefect: files are missing or broken; names all of them, nothing was uploaded.
        LakehouseError: the date cannot be told, or the object store does not answer.
    """
    report = progress or _silent
    if partition_key is not None:
        checked_partition_key(partition_key)
    with tempfile.TemporaryDirectory(prefix="lakehouse-landing-") as work:
        deliveries = check_files(project.tables(source), folder, Path(work), partition_key, report)
        with _store_errors(homes):
            homes.ensure_bucket()
            zone = _Zone(homes.s3_client(), homes.bucket, source, report)
            return [zone.deliver(day, files) for day, files in sorted(deliveries.items())]


def _silent(_label: str, _done: int, _total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class _Zone:
    """The landing zone of one source."""

    s3: S3Client
    bucket: str
    source: str
    report: Progress

    def deliver(self, day: str, files: list[LocalFile]) -> LandingReport:
        """Upload one delivery: old manifest away, changed files, new manifest, leftovers away."""
        prefix = delivery_prefix(self.source, day)
        keys = {prefix + file.name: file for file in files}
        wanted = Manifest.of(
            self.source,
            day,
            [ManifestFile(table=f.table, key=k, bytes=f.bytes, sha256=f.sha256) for k, f in keys.items()],
        )
        served = read_manifest(self.s3, self.bucket, self.source, day)
        if served and served.same_content(wanted):
            return LandingReport(self.source, day, "already landed", tuple(files), ())
        there = {f.key: f.sha256 for f in served.files} if served else {}
        changed = {k: f for k, f in keys.items() if there.get(k) != f.sha256}
        if served:
            # Until the new manifest there is no delivery: nobody may read new bytes by the old manifest.
            self.s3.delete_object(Bucket=self.bucket, Key=manifest_key(self.source, day))
        for key, file in changed.items():
            self._upload(key, file, f"upload dt={day}/{file.name}")
        write_manifest(self.s3, self.bucket, wanted)
        for key in sorted(there.keys() - keys.keys()):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        action: Action = "superseded" if served else "landed"
        names = tuple(f.name for f in changed.values())
        return LandingReport(self.source, day, action, tuple(files), names)

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


@contextmanager
def _store_errors(homes: Homes) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise LakehouseError(
            f"The object store at {homes.s3.endpoint or 'AWS'} did not take the files: {error}",
            "Check it with `lakehouse status`, then land again; what was half uploaded is not visible.",
        ) from error
