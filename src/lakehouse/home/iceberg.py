"""Iceberg commits: one snapshot per publish, by explicit file names, at a cost that does not grow with history.

pyiceberg's own operations find the files to delete by a filter over all manifests, and its overwrite never merges
manifests. :class:`_PublishFiles` adds and drops named files in one snapshot: it opens only the manifests that can
hold a dropped file (by sequence number) and merges small ones.

A commit is written first and made true later: :func:`prepare_commit` writes all its objects, which takes long and needs
no lock; :func:`move_pointer` is one UPDATE, for the transaction that publishes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO, parquet_file_to_data_file
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import CommitTableResponse, Table, TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import ExpireSnapshots, _MergeAppendFiles
from pyiceberg.utils.concurrent import ExecutorFactory
from sqlalchemy import Connection, update

#: Snapshots that readers can travel back to. Older ones are expired by every publish, so metadata stays small.
KEEP_SNAPSHOTS = 20
#: In a snapshot's summary: the publish that it belongs to.
PUBLISH_ID = "lakehouse.publish-id"

TABLE_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: str(KEEP_SNAPSHOTS),
    TableProperties.MANIFEST_MERGE_ENABLED: "true",
    TableProperties.MANIFEST_MIN_MERGE_COUNT: "8",
    # About 300 files: larger manifests are left alone, so that a merge does not grow with history.
    TableProperties.MANIFEST_TARGET_SIZE_BYTES: str(128 * 1024),
}

#: Where pyiceberg's DataFile has its lower and upper bounds.
_BOUNDS = (10, 11)

Announce = Callable[[str], None]


class _AnnouncingIO(PyArrowFileIO):
    """Tells of every object before it is written, so that those of a killed commit are known."""

    announce: Announce | None = None

    def new_output(self, location: str) -> PyArrowFile:
        if self.announce:
            self.announce(location)
        return super().new_output(location)


class LakeCatalog(SqlCatalog):
    """pyiceberg's catalog, with one file system for all tables and an ear for what is written."""

    #: The store, when it is open already.
    filesystem: FileSystem | None = None

    @cached_property
    def _shared_io(self) -> _AnnouncingIO:
        io = _AnnouncingIO(dict(self.properties))
        if store := self.filesystem:
            io.fs_by_scheme = lambda _scheme, _bucket: store
        return io

    def announce_with(self, announce: Announce) -> None:
        """Call ``announce`` with the name of every object of metadata before it is written."""
        self._shared_io.announce = announce

    def _write_metadata(  # type: ignore[override] # it is called as a method
        self, metadata: TableMetadata, io: FileIO, metadata_path: str
    ) -> None:
        # pyiceberg makes a file system anew for tables that it creates.
        super()._write_metadata(metadata, self._shared_io, metadata_path)

    def _load_file_io(self, properties: Mapping[str, str] | None = None, location: str | None = None) -> Any:
        return self._shared_io


class _PublishFiles(_MergeAppendFiles):
    """Add and drop data files in one snapshot."""

    def __init__(self, transaction: Transaction, table: Table, dropped: Mapping[str, int]) -> None:
        super().__init__(Operation.OVERWRITE if dropped else Operation.APPEND, transaction, table.io)
        self._dropped = dropped
        self.manifest_paths: frozenset[str] = frozenset()

    @cached_property
    def _split(self) -> tuple[list[ManifestFile], list[ManifestEntry]]:
        """The manifests to keep (rewritten where they held a dropped file) and the entries to drop."""
        kept: list[ManifestFile] = []
        dropped: list[ManifestEntry] = []
        for manifest in super()._existing_manifests():
            if not self._may_hold_dropped(manifest):
                kept.append(manifest)
                continue
            entries = manifest.fetch_manifest_entry(self._io, discard_deleted=True)
            going = [e for e in entries if e.data_file.file_path in self._dropped]
            staying = [e for e in entries if e.data_file.file_path not in self._dropped]
            dropped += [self._with_status(e, ManifestEntryStatus.DELETED) for e in going]
            if not going:
                kept.append(manifest)
            elif staying:
                with self.new_manifest_writer(self.spec(manifest.partition_spec_id)) as writer:
                    for entry in staying:
                        writer.add_entry(self._with_status(entry, ManifestEntryStatus.EXISTING))
                kept.append(writer.to_manifest_file())
        for entry in dropped:
            self.delete_data_file(entry.data_file)
        missing = self._dropped.keys() - {e.data_file.file_path for e in dropped}
        if missing:
            raise FileNotFoundError(
                f"Files to replace are not in the Iceberg table: {', '.join(sorted(missing))}"
            )
        return kept, dropped

    def _may_hold_dropped(self, manifest: ManifestFile) -> bool:
        if manifest.content != ManifestContent.DATA:
            return False
        low, high = manifest.min_sequence_number or 0, manifest.sequence_number or 0
        return any(low <= number <= high for number in self._dropped.values())

    def _with_status(self, entry: ManifestEntry, status: ManifestEntryStatus) -> ManifestEntry:
        is_gone = status == ManifestEntryStatus.DELETED
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=self._snapshot_id if is_gone else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=_without_bounds(entry.data_file) if is_gone else entry.data_file,
        )

    def _existing_manifests(self) -> list[ManifestFile]:
        return self._split[0]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return self._split[1]

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        merged = super()._process_manifests(manifests)
        self.manifest_paths = frozenset(m.manifest_path for m in merged)
        return merged


def _without_bounds(file: DataFile) -> DataFile:
    """A file that leaves the table, without its least and greatest values: these may be why it has to go."""
    gone = copy(file)
    gone._data = list(file._data)
    for position in _BOUNDS:
        gone[position] = None
    return gone


class WritingCatalog(LakeCatalog):
    """Writes a commit's metadata and leaves the table's pointer where it is."""

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Write the table's next metadata."""
        staged = self._update_and_stage_table(table, table.name(), requirements, updates)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)


@dataclass(frozen=True)
class Commit:
    """A commit to an Iceberg table that is written but not yet true.

    ``before`` and ``after`` are the table's metadata; ``metadata`` are the objects that show what readers will see,
    ``replaced_metadata`` those that they will not need any more.
    """

    identifier: str
    before: str
    after: str
    snapshot_id: int
    sequence_number: int
    metadata: frozenset[str]
    replaced_metadata: tuple[str, ...]


def prepare_commit(
    catalog: LakeCatalog,
    identifier: str,
    *,
    add: Iterable[str],
    drop: Mapping[str, int],
    properties: dict[str, str],
) -> Commit | None:
    """Write what points an Iceberg table at new files and away from others, as one snapshot; the oldest ones expire.

    Args:
        catalog: its tables are read, and not changed.
        identifier: ``namespace.table``.
        add: files to add.
        drop: file → sequence number of the snapshot that added it.
        properties: written into the snapshot's summary.

    Returns the commit for :func:`move_pointer`; None when there is nothing to change.

    Raises:
        FileNotFoundError: a file to add does not exist, or one to drop is not in the table.
    """
    uris = list(add)
    if not uris and not drop:
        return None
    table = catalog.load_table(identifier)
    base, before = table.metadata_location, table.current_snapshot()
    old_manifests = {m.manifest_path for m in before.manifests(table.io)} if before else set()
    with table.transaction() as transaction:
        metadata = transaction.table_metadata
        executor = ExecutorFactory.get_or_create()
        files = executor.map(lambda uri: parquet_file_to_data_file(table.io, metadata, uri), uris)
        producer = _PublishFiles(transaction, table, drop)
        producer.snapshot_properties = properties
        for file in files:
            producer.append_data_file(file)
        producer.commit()
        _expire(transaction)
    after = table.current_snapshot()
    if after is None:
        raise AssertionError(f"{identifier} has no snapshot after a commit.")
    replaced = old_manifests - producer.manifest_paths
    if before:
        replaced |= {before.manifest_list}
    replaced |= {m.metadata_file for m in table.metadata.metadata_log[-1:]}
    shown = producer.manifest_paths | {after.manifest_list, table.metadata_location}
    return Commit(
        identifier,
        base,
        table.metadata_location,
        after.snapshot_id,
        after.sequence_number or 0,
        shown,
        tuple(sorted(replaced)),
    )


def move_pointer(conn: Connection, catalog_name: str, commit: Commit) -> bool:
    """Make a commit true with the transaction of ``conn``; False when the table has moved on since it was written."""
    moved = conn.execute(
        update(IcebergTables)
        .where(
            IcebergTables.catalog_name == catalog_name,
            IcebergTables.table_namespace
            == Catalog.namespace_to_string(Catalog.namespace_from(commit.identifier)),
            IcebergTables.table_name == Catalog.table_name_from(commit.identifier),
            IcebergTables.metadata_location == commit.before,
        )
        .values(metadata_location=commit.after, previous_metadata_location=commit.before)
    )
    return moved.rowcount == 1


def _expire(transaction: Transaction) -> None:
    snapshots = sorted(transaction.table_metadata.snapshots, key=lambda s: s.sequence_number or 0)
    old = _unnamed(transaction.table_metadata, snapshots[:-KEEP_SNAPSHOTS])
    if old:
        ExpireSnapshots(transaction).by_ids(old).commit()


def _unnamed(metadata: TableMetadata, snapshots: Iterable[Snapshot]) -> list[int]:
    """The snapshots that no branch or tag names: the others cannot be expired."""
    named = {ref.snapshot_id for ref in metadata.refs.values()}
    return [s.snapshot_id for s in snapshots if s.snapshot_id not in named]


def snapshots_before(table: Table, publish_id: int) -> list[int]:
    """The snapshots older than the one that shows a state of a table; not those that a branch or tag names."""
    newest_first = sorted(table.snapshots(), key=lambda s: s.sequence_number or 0, reverse=True)
    shown = next((n for n, s in enumerate(newest_first) if published_by(s) <= publish_id), len(newest_first))
    return _unnamed(table.metadata, newest_first[shown + 1 :])


def published_by(snapshot: Snapshot) -> int:
    """The publish that a snapshot belongs to; 0 when it is none's."""
    return int((snapshot.summary and snapshot.summary[PUBLISH_ID]) or 0)


def drop_snapshots(table: Table, snapshots: list[int]) -> list[str]:
    """Let snapshots expire; returns the object of metadata that this replaced."""
    with table.transaction() as transaction:
        ExpireSnapshots(transaction).by_ids(snapshots).commit()
    return [entry.metadata_file for entry in table.metadata.metadata_log[-1:]]


def ensure_table(
    catalog: LakeCatalog,
    identifier: str,
    location: str,
    schema: pa.Schema,
    properties: Mapping[str, str] | None = None,
) -> list[str]:
    """Create an Iceberg table, or add the columns it lacks; returns the objects of metadata that this replaced.

    ``properties`` are given to a table that is created, beside those that all tables have.
    """
    if not catalog.table_exists(identifier):
        own = {**TABLE_PROPERTIES, **(properties or {})}
        table = catalog.create_table(identifier, schema, location=location, properties=own)
        # Parquet files carry no field ids: readers find columns by this map.
        with table.transaction() as transaction:
            mapping: dict[str, Any] = {
                TableProperties.DEFAULT_NAME_MAPPING: table.schema().name_mapping.model_dump_json()
            }
            transaction.set_properties(**mapping)
    else:
        table = catalog.load_table(identifier)
        if not set(schema.names) - {f.name for f in table.schema().fields}:
            return []
        with table.update_schema() as update:
            update.union_by_name(schema)
    return [entry.metadata_file for entry in table.metadata.metadata_log[-1:]]


def referenced(table: Table) -> set[str]:
    """The objects that a table's readers need: its metadata, all of its snapshots, and the newest one's files."""
    snapshots = table.snapshots()
    found = {table.metadata_location, *(s.manifest_list for s in snapshots)}
    current = table.current_snapshot()
    for manifest in current.manifests(table.io) if current else ():
        found.add(manifest.manifest_path)
        found |= {
            e.data_file.file_path for e in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        }
    return found


def new_data_file(location: str) -> str:
    """A name for a data file that nobody else will use."""
    return f"{location}/data/{uuid.uuid4()}.parquet"
