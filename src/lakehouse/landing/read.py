"""Read a landed file back, and make sure that its bytes are the ones its manifest names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse.contract import Contract
from lakehouse.landing.defects import defect
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.manifest import ManifestFile
from lakehouse.landing.stream import Digest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def read_landed(
    s3: S3Client, bucket: str, landed: ManifestFile, contract: Contract
) -> Iterator[pa.RecordBatch]:
    """Stream a landed file from the store, as :func:`~lakehouse.landing.delimited.read_batches` does.

    Raises:
        FileDefect: the file is broken, or (after the last batch) its bytes are not those of the manifest;
            what has been read must then be thrown away.
    """
    digest = Digest()
    body = s3.get_object(Bucket=bucket, Key=landed.key)["Body"]
    try:
        yield from read_batches(body, contract, landed.key, digest)
    finally:
        body.close()
    if digest.sha256 != landed.sha256:
        raise defect(
            landed.key,
            f"its {digest.size:,} bytes are not the {landed.bytes:,} bytes its manifest names",
            "The object was changed after it was landed; land the files again.",
        )
