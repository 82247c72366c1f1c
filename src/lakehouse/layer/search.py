"""Looks for a text in all that is stored: every object of the bucket, whatever it is packed in, and every table.

For proving that something is gone. It knows nothing of layers: what nobody expects is found too.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from sqlalchemy import Connection, text

from lakehouse.errors import FileDefect
from lakehouse.home.homes import Homes
from lakehouse.landing.stream import Digest, chunks, open_stream

#: Iceberg's manifests keep so many characters of the least and the greatest text of a column.
_BOUND_CHARACTERS = 16
_SYNC_BYTES = 16
_REQUESTS = 4
#: Partitions are read through their parents.
_RELATIONS = """
select format('%I.%I', n.nspname, c.relname) from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where
    c.relkind in ('r', 'p', 'm') and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
    and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
order by 1
"""
_STATISTICS = """
select count(*) from pg_stats
where strpos(concat(most_common_vals, histogram_bounds), :t) > 0
"""


@dataclass(frozen=True)
class Searched:
    """Keys of the objects that hold the text, and of those that could not be read; ``objects``: of how many."""

    found: tuple[str, ...]
    unread: tuple[str, ...]
    objects: int


def search_bucket(
    homes: Homes, wanted: str, progress: Callable[[int], None] = lambda _done: None
) -> Searched:
    """Look into all objects of the bucket, in whatever they are packed.

    ``progress`` is told now and then how many objects have been looked into.
    """
    pages = homes.s3_client().get_paginator("list_objects_v2").paginate(Bucket=homes.bucket)
    keys = (entry["Key"] for page in pages for entry in page.get("Contents", []))
    found: list[str] = []
    unread: list[str] = []
    done = 0
    with ThreadPoolExecutor(_REQUESTS) as pool:
        while some := list(islice(keys, 8 * _REQUESTS)):
            holds = list(pool.map(lambda key: _object_holds(homes, key, wanted), some))
            found += [key for key, is_there in zip(some, holds, strict=True) if is_there]
            unread += [key for key, is_there in zip(some, holds, strict=True) if is_there is None]
            done += len(some)
            progress(done)
    return Searched(tuple(sorted(found)), tuple(sorted(unread)), done)


def _object_holds(homes: Homes, key: str, wanted: str) -> bool | None:
    """Whether an object holds a text; None when it may not be read, or is not what its name or first bytes say."""
    try:
        body = homes.s3_client().get_object(Bucket=homes.bucket, Key=key)["Body"]
    except ClientError as error:
        # What was deleted meanwhile holds nothing.
        return False if error.response.get("Error", {}).get("Code") == "NoSuchKey" else None
    try:
        if key.endswith(".parquet"):
            with homes.filesystem().open_input_file(f"{homes.bucket}/{key}") as file:
                return parquet_holds(file, wanted)
        if key.endswith(".avro"):
            return avro_holds(body.read(), wanted)
        with open_stream(body, Digest()) as stream, closing(chunks(stream, key)) as parts:
            return _stream_holds(parts, wanted.encode())
    except (FileDefect, pa.ArrowInvalid, ValueError, IndexError, zlib.error):
        return None


def _stream_holds(parts: Iterator[bytes], wanted: bytes) -> bool:
    rest = b""
    for part in parts:
        if wanted in rest + part:
            return True
        rest = part[-len(wanted) :]
    return False


def parquet_holds(file: pa.NativeFile | io.BytesIO, wanted: str) -> bool:
    """Whether a Parquet file holds a text: in a value, or in what its footer says of the values."""
    read = pq.ParquetFile(file)
    for group in range(read.metadata.num_row_groups):
        for column in range(read.metadata.num_columns):
            statistics = read.metadata.row_group(group).column(column).statistics
            if statistics and statistics.has_min_max and wanted in f"{statistics.min} {statistics.max}":
                return True
    texts = [f.name for f in read.schema_arrow if pa.types.is_string(f.type)]
    return any(
        bool(pc.any(pc.match_substring(column, wanted)).as_py())
        for batch in read.iter_batches(columns=texts)
        for column in batch.columns
    )


def avro_holds(data: bytes, wanted: str) -> bool:
    """Whether an Avro file of Iceberg holds a text, or as much of it as bounds of columns keep."""
    bound = wanted[:_BOUND_CHARACTERS].encode()
    return bound in data or any(bound in block for block in _avro_blocks(data))


def _avro_blocks(data: bytes) -> Iterator[bytes]:
    """The unpacked blocks of an Avro container: counts, sizes and bytes between marks, the last of which ends it."""
    mark = data[-_SYNC_BYTES:]
    at = data.index(mark) + _SYNC_BYTES
    packed = b"avro.codec\x0edeflate" in data[:at]
    while at < len(data):
        _, at = _number(data, at)
        size, at = _number(data, at)
        block = data[at : at + size]
        yield zlib.decompressobj(-zlib.MAX_WBITS).decompress(block) if packed else block
        at += size + _SYNC_BYTES


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number as Avro writes it, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return (value >> 1) ^ -(value & 1), at


def search_warehouse(conn: Connection, wanted: str) -> dict[str, int]:
    """Table → rows that hold a text in any column, of all tables that may be read; statistics of the planner, too."""
    found = {}
    for relation in conn.execute(text(_RELATIONS)).scalars().all():
        rows = text(f"select count(*) from {relation} as t where strpos(t::text, :t) > 0")
        found[str(relation)] = int(conn.execute(rows, {"t": wanted}).scalar_one())
    found["pg_statistic"] = int(conn.execute(text(_STATISTICS), {"t": wanted}).scalar_one())
    return {place: rows for place, rows in found.items() if rows}
