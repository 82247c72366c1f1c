"""The manifest: a delivery exists from the moment its manifest does, with exactly the bytes it names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Self

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lakehouse.contract.model import DeliveryKind
from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MANIFEST_NAME = "_manifest.json"
_ROOT = "landing"


class ManifestFile(BaseModel):
    """One file of a delivery: the table it holds, where it is, which bytes it must have, and what it means.

    A manifest of an older version lacks ``kind``. Then nobody knows whether what the file lacks is gone, and bronze
    refuses it: a wrong guess would delete rows, or keep those that are gone. Whoever writes a manifest by other
    means than ``lakehouse land`` may not know ``rows``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="name of the table in its source, such as orders")
    key: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rows: Annotated[int, Field(ge=0)] | None = Field(None, description="data rows, without the header")
    kind: DeliveryKind | None = None


class Manifest(BaseModel):
    """All files of a delivery.

    ``allow_shrink``: whoever landed it has said that it may have far fewer rows than the delivery it supersedes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    partition_key: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    landed_at: datetime
    allow_shrink: bool = False
    files: tuple[ManifestFile, ...]

    @model_validator(mode="after")
    def _names_its_own_files(self) -> Self:
        """Whoever may land could name other objects of the bucket, which the pipeline may read and they may not."""
        prefix = delivery_prefix(self.source, self.partition_key)
        for file in self.files:
            inside = file.key.removeprefix(prefix)
            if inside == file.key or not all(part.strip(".") for part in inside.split("/")):
                raise ValueError("a file lies outside of the delivery")
        return self

    @classmethod
    def of(
        cls, source: str, partition_key: str, files: list[ManifestFile], *, allow_shrink: bool = False
    ) -> Manifest:
        """A manifest of now, its files in the order of their keys."""
        now = datetime.now(UTC).replace(microsecond=0)
        ordered = tuple(sorted(files, key=lambda f: f.key))
        return cls(
            source=source,
            partition_key=partition_key,
            landed_at=now,
            allow_shrink=allow_shrink,
            files=ordered,
        )

    def holds(self, wanted: Manifest) -> bool:
        """Whether landing ``wanted`` over this would change nothing: the same bytes, of the same kinds.

        When they were landed does not matter, and a permission to shrink that was given once stays.
        """
        given = {"landed_at", "allow_shrink"}
        same = self.model_dump(exclude=given) == wanted.model_dump(exclude=given)
        return same and (self.allow_shrink or not wanted.allow_shrink)

    def file(self, table: str) -> ManifestFile | None:
        """The delivery's file of a table (its name in the source), None when it has none."""
        return next((f for f in self.files if f.table == table), None)


def delivery_prefix(source: str, partition_key: str) -> str:
    """``landing/<source>/dt=<partition_key>/``, where all files of a delivery are."""
    return f"{_ROOT}/{source}/dt={partition_key}/"


def manifest_key(source: str, partition_key: str) -> str:
    """The key of a delivery's manifest."""
    return delivery_prefix(source, partition_key) + MANIFEST_NAME


def is_day(text: str) -> bool:
    """Whether a text is a date written ``YYYY-MM-DD``."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def checked_partition_key(text: str) -> str:
    """``text`` when it is a date written ``YYYY-MM-DD``.

    Raises:
        LakehouseError: it is not.
    """
    if is_day(text):
        return text
    raise LakehouseError(
        f"{text!r} is not a date of a delivery.", "Write it as YYYY-MM-DD, such as 2018-10-17."
    )


def read_manifest(s3: S3Client, bucket: str, source: str, partition_key: str) -> Manifest | None:
    """The manifest of a delivery; None while there is no such delivery (or not yet all of it).

    Raises:
        LakehouseError: there is one that cannot be read.
    """
    key = manifest_key(source, partition_key)
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "NoSuchBucket", "404"}:
            return None
        raise
    try:
        found = Manifest.model_validate_json(body)
        if (found.source, found.partition_key) != (source, partition_key):
            raise LakehouseError(
                f"s3://{bucket}/{key} is the manifest of {found.source} {found.partition_key}.",
                f"Delete that object and land the files again: lakehouse land {source} --date {partition_key}",
            )
        return found
    except ValidationError as error:
        raise LakehouseError(
            f"s3://{bucket}/{key} is not a manifest ({error.error_count()} problems).",
            f"Delete that object and land the files again: lakehouse land {source} --date {partition_key}",
        ) from error


def write_manifest(s3: S3Client, bucket: str, manifest: Manifest) -> None:
    """Make a delivery visible."""
    s3.put_object(
        Bucket=bucket,
        Key=manifest_key(manifest.source, manifest.partition_key),
        Body=(manifest.model_dump_json(indent=2) + "\n").encode(),
        ContentType="application/json",
    )


def list_deliveries(s3: S3Client, bucket: str, source: str) -> dict[str, datetime]:
    """Partition key → when it was landed (the store's clock), of all visible deliveries of a source, oldest first.

    Folders that are called otherwise than a day are none.
    """
    found: dict[str, datetime] = {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{_ROOT}/{source}/dt=")
    for page in pages:
        for entry in page.get("Contents", []):
            day = entry["Key"].removeprefix(f"{_ROOT}/{source}/dt=").partition("/")[0]
            if is_day(day) and entry["Key"] == manifest_key(source, day):
                found[day] = entry["LastModified"]
    return dict(sorted(found.items()))


def list_partitions(s3: S3Client, bucket: str, source: str) -> list[str]:
    """Partition keys of all visible deliveries of a source, oldest first."""
    return list(list_deliveries(s3, bucket, source))


def strays(s3: S3Client, bucket: str, sources: Iterable[str], before: datetime) -> dict[str, int]:
    """Key → bytes of objects of visible deliveries that their manifests do not name, written before a time.

    A folder without a manifest is left alone: somebody may be landing into it. So is one whose manifest is newer.

    Raises:
        LakehouseError: a manifest cannot be read.
    """
    found: dict[str, int] = {}
    for source in sources:
        for day, landed_at in list_deliveries(s3, bucket, source).items():
            if landed_at >= before or (manifest := read_manifest(s3, bucket, source, day)) is None:
                continue
            named = {file.key for file in manifest.files} | {manifest_key(source, day)}
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=delivery_prefix(source, day)
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    if entry["Key"] not in named and entry["LastModified"] < before:
                        found[entry["Key"]] = entry["Size"]
    return found
