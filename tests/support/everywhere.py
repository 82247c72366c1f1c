"""Looks for a text in all bytes that a lakehouse stores, with other means than the code that is tested."""

from __future__ import annotations

import gzip
import io
import subprocess
import zlib

import pyarrow.parquet as pq

from lakehouse.home.homes import Homes
from lakehouse.stack.postgres import wheel_install


def places_with(homes: Homes, text: str) -> list[str]:
    """Where a text is: keys of objects, and lines of the database's dump."""
    return [*_objects_with(homes, text), *_lines_with(homes, text)]


def _objects_with(homes: Homes, text: str) -> list[str]:
    client = homes.s3_client()
    found = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=homes.bucket):
        for version in page.get("Versions", []):
            key = version["Key"]
            body = client.get_object(Bucket=homes.bucket, Key=key, VersionId=version["VersionId"])[
                "Body"
            ].read()
            if any(text.encode() in data for data in _unpacked(key, body)):
                found.append(key)
    return found


def _unpacked(key: str, body: bytes) -> list[bytes]:
    if body[:2] == b"\x1f\x8b":
        return [gzip.decompress(body)]
    if key.endswith(".parquet"):
        rows = pq.read_table(io.BytesIO(body)).to_pylist()
        return [body, str(rows).encode(), str(pq.ParquetFile(io.BytesIO(body)).metadata.to_dict()).encode()]
    if key.endswith(".avro"):
        return [body, *_inflated(body)]
    return [body]


def _inflated(body: bytes) -> list[bytes]:
    """Whatever can be unpacked between the marks of an Avro file."""
    found = []
    for block in body.split(body[-16:])[1:]:
        for start in range(2, 12):
            try:
                found.append(zlib.decompress(block[start:], -15))
                break
            except zlib.error:
                continue
    assert found
    return found


def _lines_with(homes: Homes, text: str) -> list[str]:
    """Lines of ``pg_dump``; values that the planner remembers are no part of it by default, so they are asked for."""
    url = homes.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    dump = [str(wheel_install() / "bin" / "pg_dump"), "--statistics", "--dbname", url]
    done = subprocess.run(dump, check=True, capture_output=True, text=True)
    return [line[:200] for line in done.stdout.splitlines() if text in line]
