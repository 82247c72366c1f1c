"""One DuckDB database in memory, over files of the lake.

A session can read what was registered with it and nothing else: no other file, no network, no extension. What a
task did not pin is not readable, by construction.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.compile.schemas import arrow_type
from lakehouse.home import lake, scratch
from lakehouse.home.homes import Homes

#: Schemas that queries name. ``staged`` relations are in ``main``, where Great Expectations looks.
_SCHEMAS = ("raw", "ods", "gold", "affected", "changed")
#: Rows handed over at a time: few enough to stream, enough to be a row group.
BATCH_ROWS = 32 * 1024
#: DuckDB's name of the file that a row was read from.
FILE_COLUMN = "filename"


class EngineSettings(BaseSettings):
    """How much of the machine a session may use: ``LAKEHOUSE_ENGINE_THREADS``, ``LAKEHOUSE_ENGINE_MEMORY``.

    What does not fit is spilled to disk, so that several tasks work beside each other on a laptop.
    """

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_ENGINE_", extra="ignore")

    threads: int = min(4, os.cpu_count() or 2)
    memory: str = "400MB"


@dataclass
class Session:
    """The database (``catalog``), the folder it reads from, and the lake files that were brought there."""

    connection: duckdb.DuckDBPyConnection
    homes: Homes | None
    folder: Path
    catalog: str
    local: dict[str, str] = field(default_factory=dict)

    def files(self, relation: str, uris: Sequence[str], columns: Mapping[str, str]) -> None:
        """Make a view of lake files, which are fetched once per session.

        Args:
            relation: the view's name, such as ``ods.olist_orders``.
            uris: Parquet files of the lake; none makes an empty relation.
            columns: column → type in the contract's words. A column that a file lacks, because its contract
                gained it later, is null. The file a row comes from is in ``filename`` (see :meth:`uri`).
        """
        if not uris:
            nothing = ", ".join(f"cast(null as {duck_type(t)}) as {c}" for c, t in columns.items())
            self.view(relation, f"select {nothing}, cast(null as text) as {FILE_COLUMN} where false")
            return
        paths = self._fetch(uris)
        names = {name for path in paths for name in pq.read_schema(path).names}
        scan = f"read_parquet({_list(paths)}, union_by_name = true, filename = true)"
        selected = ", ".join(
            c if c in names else f"cast(null as {duck_type(t)}) as {c}" for c, t in columns.items()
        )
        self.view(relation, f"select {selected}, {FILE_COLUMN} from {scan}")

    def parquet(self, relation: str, uris: Sequence[str]) -> None:
        """Make a view of lake files with the columns that they have."""
        self.view(relation, f"select * from read_parquet({_list(self._fetch(uris))})")

    def texts(self, relation: str, column: str, values: Iterable[str]) -> None:
        """Make a table of one column, of as many texts as there are."""
        self.connection.register("given", pa.table({column: pa.array(values, pa.string())}))
        self.connection.execute(f"create or replace table {relation} as select {column} from given")
        self.connection.unregister("given")

    def transformed(self, relation: str, batch: pa.RecordBatch, query: str) -> pa.Table:
        """A query over one batch in memory, which is ``relation`` meanwhile."""
        self.connection.register(relation, batch)
        found: pa.Table = self.connection.sql(query).to_arrow_table()
        return found

    def uri(self, path: str) -> str:
        """The lake file that was brought to a local path."""
        return next(uri for uri, local in self.local.items() if local == path)

    def view(self, relation: str, query: str) -> None:
        """Make a view."""
        self.connection.execute(f"create or replace view {relation} as {query}")

    def table(self, relation: str, query: str) -> int:
        """Compute a query once and keep its rows; returns how many."""
        self.connection.execute(f"drop table if exists {relation}")
        return int(self.connection.execute(f"create table {relation} as {query}").fetchall()[0][0])

    def values(self, relation: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Make a small table of figures."""
        typed = ", ".join(f"{name} {duck_type(kind)}" for name, kind in columns.items())
        self.connection.execute(f"create or replace table {relation} ({typed})")
        if rows:
            marks = ", ".join("?" * len(columns))
            self.connection.executemany(f"insert into {relation} values ({marks})", rows)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        return self.connection.execute(query).fetchall()

    def value(self, query: str) -> Any:
        """The one value that a query returns."""
        return self.rows(query)[0][0]

    def schema(self, query: str) -> pa.Schema:
        """The columns of a query, in Arrow's types."""
        empty: pa.Table = self.connection.sql(f"select * from ({query}) as q limit 0").to_arrow_table()
        return empty.schema

    def batches(self, query: str, schema: pa.Schema) -> Generator[pa.RecordBatch]:
        """The rows of a query in the types of ``schema``, batch by batch, while they are computed."""
        # A cursor of its own: the session may be asked other things meanwhile.
        with self.connection.cursor() as cursor:
            cursor.execute(f"use {self.catalog}")
            for batch in cursor.sql(query).to_arrow_reader(BATCH_ROWS):
                yield batch.cast(schema)

    def _fetch(self, uris: Sequence[str]) -> list[str]:
        if self.homes is None:
            return list(uris)
        missing = [uri for uri in dict.fromkeys(uris) if uri not in self.local]
        for uri, path in zip(missing, lake.fetch(self.homes, missing, self.folder), strict=True):
            self.local[uri] = str(path)
        return [self.local[uri] for uri in uris]


@contextmanager
def open_session(homes: Homes | None, settings: EngineSettings | None = None) -> Iterator[Session]:
    """An empty database that may read the lake through ``homes`` (without homes: local files in its folder).

    Rows that do not fit into the memory limit are spilled to disk. The session's folder is removed at the end, and
    its database is gone.
    """
    instance = _borrow(settings or EngineSettings())
    catalog = f"session_{next(_NUMBERS)}"
    # Made for each session: a process that is cut short leaves no folder of an idle instance behind.
    with scratch.occupied(instance.folder):
        folder = Path(tempfile.mkdtemp(prefix=f"{catalog}-", dir=instance.folder))
        with instance.connection.cursor() as connection:
            connection.execute(f"attach ':memory:' as {catalog}")
            connection.execute(f"use {catalog}")
            for schema in _SCHEMAS:
                connection.execute(f"create schema {schema}")
            yield Session(connection, homes, folder, catalog)
        instance.connection.execute(f"detach {catalog}")
    # After an error it is not given back: nobody knows what state it is in.
    _IDLE.append(instance)


@dataclass
class _Instance:
    """A running DuckDB, which takes longer to start than a small table takes to stage. One session at a time."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    settings: EngineSettings
    process: int


_NUMBERS = count(1)
#: Instances that no session uses. Lists are safe to pop from and append to in several threads.
_IDLE: list[_Instance] = []


def _borrow(settings: EngineSettings) -> _Instance:
    """An idle instance of this process with these settings, or a new one."""
    with suppress(IndexError):
        while True:
            instance = _IDLE.pop()
            # The threads of one that was inherited from a parent process do not run here.
            if instance.process == os.getpid() and instance.settings == settings:
                return instance
    _return_memory()
    folder = scratch.new_folder()
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": settings.threads,
        "memory_limit": settings.memory,
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=config)
    connection.execute(f"set allowed_directories = {_list([str(folder)])}")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return _Instance(connection, folder, settings, os.getpid())


@cache
def _return_memory() -> None:
    """Let Arrow give memory back that it does not need any more, where its build knows how to."""
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(0)


def duck_type(sql_type: str) -> str:
    """A contract's type as DuckDB keeps it: uuids are text, as they are in the lake.

    Raises:
        ContractError: the lake has no such type.
    """
    arrow_type(sql_type)
    return {"uuid": "text"}.get(sql_type, sql_type)


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"
