"""Takes records of persons out of the landing zone: files are rewritten, and manifests name the new ones.

A delivery is whole at every moment: the new file lies beside the old one until the manifest names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.contract import Contract
from lakehouse.errors import FileDefect
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.landing.manifest import (
    Manifest,
    ManifestFile,
    delivery_prefix,
    list_partitions,
    read_manifest,
    write_manifest,
)
from lakehouse.landing.rewrite import Replace, Rewritten, rewrite

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Below a delivery: its rewritten files.
REWRITTEN = "_erased"
#: What is called before a manifest names another file: table, partition key, the file as it was, as it is.
Moved = Callable[[str, str, ManifestFile, ManifestFile], None]


@dataclass(frozen=True)
class TakenOut:
    """Files that were rewritten (or would be), and the records in them that are others now."""

    files: int = 0
    records: int = 0


@dataclass(frozen=True)
class LandingZone:
    """The landing zone of one source, as who lands files sees it."""

    homes: Homes
    source: str

    @property
    def _s3(self) -> S3Client:
        return self.homes.s3_client()

    def take_out(
        self,
        concerned: Sequence[tuple[Contract, Replace]],
        moved: Moved | None,
        progress: Callable[[str], None] = lambda _text: None,
    ) -> TakenOut:
        """Replace records in all files of some tables.

        Args:
            concerned: contracts, each with: from a batch of records those to replace, as they shall be.
            moved: see :data:`Moved`; None: nothing is changed, and only counted.
            progress: called with the date at hand.

        A file that is broken is left as it is: nothing of it can be told.
        """
        files = records = 0
        for day in list_partitions(self._s3, self.homes.bucket, self.source):
            progress(day)
            manifest = read_manifest(self._s3, self.homes.bucket, self.source, day)
            if manifest is None:  # taken away meanwhile
                continue
            with tempfile.TemporaryDirectory(prefix="lakehouse-erasure-") as work:
                found = self._rewritten(manifest, concerned, Path(work))
                if found and moved:
                    self._exchange(manifest, found, moved)
            if moved:
                self._remove_leftovers(day)
            files, records = files + len(found), records + sum(r.records for r, _ in found.values())
        return TakenOut(files, records)

    def _rewritten(
        self, manifest: Manifest, concerned: Sequence[tuple[Contract, Replace]], work: Path
    ) -> dict[str, tuple[Rewritten, Path]]:
        """Key → the file without these records, of files that have any."""
        found = {}
        for contract, replace in concerned:
            file = manifest.file(contract.name)
            if file is None or not file.bytes:
                continue
            to = work / contract.table
            body = self._s3.get_object(Bucket=self.homes.bucket, Key=file.key)["Body"]
            try:
                done = rewrite(body, contract, file.key, replace, to)
            except FileDefect:
                continue
            if done.records:
                found[file.key] = done, to
        return found

    def _exchange(
        self, manifest: Manifest, found: Mapping[str, tuple[Rewritten, Path]], moved: Moved
    ) -> None:
        """Upload, note, name in the manifest, and only then remove what was there."""
        prefix = delivery_prefix(self.source, manifest.partition_key)
        files = []
        for file in manifest.files:
            if file.key not in found:
                files.append(file)
                continue
            done, path = found[file.key]
            key = f"{prefix}{REWRITTEN}/{done.sha256[:12]}/{file.key.rpartition('/')[2]}"
            new = file.model_copy(update={"key": key, "bytes": done.bytes, "sha256": done.sha256})
            self._s3.upload_file(
                str(path), self.homes.bucket, key, ExtraArgs={"Metadata": {"sha256": done.sha256}}
            )
            moved(file.table, manifest.partition_key, file, new)
            files.append(new)
        ordered = tuple(sorted(files, key=lambda f: f.key))
        write_manifest(self._s3, self.homes.bucket, manifest.model_copy(update={"files": ordered}))
        lake.delete_objects(self.homes, [f"s3://{self.homes.bucket}/{key}" for key in found])

    def _remove_leftovers(self, day: str) -> None:
        """Remove what an exchange that was cut short has left: files of a rewritten table that no manifest names."""
        manifest = read_manifest(self._s3, self.homes.bucket, self.source, day)
        if manifest is None:
            return
        prefix = delivery_prefix(self.source, day)
        named = {f.key for f in manifest.files}
        ours = {f.key.rpartition("/")[2] for f in manifest.files if f.key.startswith(f"{prefix}{REWRITTEN}/")}
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.homes.bucket, Prefix=prefix)
        keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
        left = {
            key
            for key in keys - named
            if key.startswith(f"{prefix}{REWRITTEN}/") or key.rpartition("/")[2] in ours
        }
        lake.delete_objects(self.homes, [f"s3://{self.homes.bucket}/{key}" for key in sorted(left)])
