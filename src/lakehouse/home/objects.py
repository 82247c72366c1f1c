"""Every object of the lake, held against what knows of it: the registry, and the Iceberg tables themselves.

An object that neither knows is an *orphan*. Nothing of this project makes one: each object is registered before it is
written. But buckets are restored, copied and written to by hand, and a registry may be older than its bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from lakehouse.home import lake
from lakehouse.home.homes import Homes

_LISTED = """
create temporary table listed (uri text primary key, bytes bigint not null, modified_at timestamptz not null)
on commit drop
"""
_LIST = """
insert into listed
select * from unnest(cast(:u as text[]), cast(:b as bigint[]), cast(:m as timestamptz[])) on conflict do nothing
"""
_UNKNOWN = """
select l.uri, l.bytes from listed as l
where l.modified_at < :before and not exists (select 1 from ops.lake_file as f where f.uri = l.uri) order by l.uri
"""
#: What is recorded now and was not listed was written since, or is lost.
_LOST = """
select f.uri from ops.lake_file as f
where
    f.status = 'live' and f.recorded_at < :before and f.publish_id is not null
    and not exists (select 1 from listed as l where l.uri = f.uri)
order by f.uri
"""


@dataclass(frozen=True)
class StoredObject:
    """An object of the bucket. ``key`` is its name in it, ``modified_at`` the store's clock."""

    key: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Comparison:
    """What the bucket and the registry do not agree on: URI → bytes; URIs.

    ``orphans``: nobody knows them. ``unregistered``: an Iceberg table names them, the registry does not.
    ``lost``: readers need them, and they are not there.
    """

    orphans: dict[str, int]
    unregistered: tuple[str, ...]
    lost: tuple[str, ...]


def stored(homes: Homes, prefix: str) -> Iterator[list[StoredObject]]:
    """The objects below a prefix, a page of the store's listing at a time."""
    pages = homes.s3_client().get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=homes.bucket, Prefix=prefix):
        yield [StoredObject(o["Key"], o["Size"], o["LastModified"]) for o in page.get("Contents", [])]


def list_lake(homes: Homes, conn: Connection) -> None:
    """Make ``listed``, a table of every object of the lake, for queries of the same transaction."""
    conn.execute(text("drop table if exists pg_temp.listed"))
    conn.execute(text(_LISTED))
    for page in stored(homes, "lake/"):
        if page:
            uris = [f"s3://{homes.bucket}/{o.key}" for o in page]
            sizes, times = [o.bytes for o in page], [o.modified_at for o in page]
            conn.execute(text(_LIST), {"u": uris, "b": sizes, "m": times})


def compare(homes: Homes, conn: Connection, before: datetime) -> Comparison:
    """Hold what is listed (see :func:`list_lake`) against the registry and the catalog.

    Args:
        homes: whose lake.
        conn: where ``listed`` is.
        before: what was written since then is left out: somebody may be about to use it.
    """
    unknown = {uri: int(size) for uri, size in conn.execute(text(_UNKNOWN), {"before": before})}
    lost = tuple(conn.execute(text(_LOST), {"before": before}).scalars())
    # To read all manifests takes long, and there is hardly ever a need to.
    named = set(named_by_tables(homes)) & unknown.keys() if unknown else set()
    return Comparison({u: b for u, b in unknown.items() if u not in named}, tuple(sorted(named)), lost)


def named_by_tables(homes: Homes) -> Iterator[str]:
    """Every object that a snapshot of an Iceberg table names, its metadata included."""
    catalog = homes.catalog()
    for namespace in catalog.list_namespaces():
        for name in catalog.list_tables(namespace):
            table = catalog.load_table(name)
            yield table.metadata_location
            yield from (entry.metadata_file for entry in table.metadata.metadata_log)
            for snapshot in table.snapshots():
                yield snapshot.manifest_list
                for manifest in snapshot.manifests(table.io):
                    yield manifest.manifest_path
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                        yield entry.data_file.file_path


def size_of(conn: Connection, uris: Sequence[str]) -> int:
    """Bytes of some listed objects."""
    query = text("select coalesce(sum(bytes), 0)::bigint from listed where uri = any(:u)")
    return int(conn.execute(query, {"u": list(uris)}).scalar_one())


def remove(homes: Homes, keys: Sequence[str]) -> None:
    """Delete objects by their names in the bucket."""
    lake.delete_objects(homes, [f"s3://{homes.bucket}/{key}" for key in keys])
