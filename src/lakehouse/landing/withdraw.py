"""Take a delivery back: its files go, and an empty one supersedes them, so that its rows leave every layer.

The layers need to know nothing about it: an empty increment says nothing of any key, and an event's day that is
delivered empty is empty.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.landing.manifest import (
    Manifest,
    ManifestFile,
    checked_partition_key,
    delivery_prefix,
    manifest_key,
    read_manifest,
    write_manifest,
)

#: Of no bytes: no file can be like that, because every file has a header.
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Withdrawal:
    """What became of a delivery. ``files`` and ``rows`` it had; none when it had been withdrawn before."""

    source: str
    partition_key: str
    files: int
    rows: int


def withdraw(homes: Homes, project: Project, source: str, partition_key: str) -> Withdrawal:
    """Remove a delivery from the landing zone and leave an empty one in its place. Safe to repeat.

    Its rows are served until the partition has run. Landing the files again brings the delivery back.

    Raises:
        LakehouseError: there is no such delivery.
    """
    client, bucket = homes.s3_client(), homes.bucket
    served = read_manifest(client, bucket, source, checked_partition_key(partition_key))
    if served is None:
        raise LakehouseError(
            f"There is no delivery of {source} for {partition_key}.",
            f"`lakehouse status` lists what is there; landed files are below {delivery_prefix(source, '…')}.",
        )
    prefix = delivery_prefix(source, partition_key)
    empty = [
        # Entities: nothing is said of any key. Events are given by day, so the day is empty.
        ManifestFile(
            table=c.name,
            key=f"{prefix}_withdrawn/{c.name}",
            bytes=0,
            sha256=_NOTHING,
            rows=0,
            kind="increment",
        )
        for c in project.tables(source)
    ]
    wanted = Manifest.of(source, partition_key, empty, allow_shrink=True)
    if not served.holds(wanted):
        write_manifest(client, bucket, wanted)
    # After the manifest: until then the delivery is whole.
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    lake.delete_objects(homes, [f"s3://{bucket}/{k}" for k in keys - {manifest_key(source, partition_key)}])
    there = [f for f in served.files if f.bytes]
    return Withdrawal(source, partition_key, len(there), sum(f.rows or 0 for f in there))
