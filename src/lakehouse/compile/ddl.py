"""DDL of RAW, ODS and GOLD, compiled from the contracts.

Every table is a partitioned one whose rows lie in its partitions, so that a partition, or the whole table, is
exchanged in milliseconds while views and grants stay with the parent: RAW has a partition per batch, tables of
events one per delivery date, all other tables a single one (``<table>__data``) made by their first publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lakehouse.contract import Contract, GoldModel, TableContract
from lakehouse.contract.model import PARTITION_COLUMN, History

_BANNER = "-- Compiled from contracts/{source}/{name}.yaml by `make generate`. Do not edit.\n"

#: What the columns mean that the machinery adds. All are always given.
TECHNICAL = {
    "_batch_id": "The file the row came in (ops.batch).",
    "_source_key": "Name of that file in the landing zone.",
    "_source_hash": "Hash of that file's content.",
    "_source_line": "Number of the row in that file, from 1.",
    "_ingested_at": "When the file was read, UTC.",
    "_publish_id": "The publish that wrote the row last (ops.publish).",
    PARTITION_COLUMN: "Date of the delivery the row came in.",
}
_RAW_TECHNICAL = {
    "_batch_id": "uuid",
    "_source_key": "text",
    "_source_hash": "text",
    "_source_line": "bigint",
    "_ingested_at": "timestamptz",
}
#: Of these, the same in all rows of a batch: defaults of its partition, not sent row by row.
RAW_CONSTANTS = ("_batch_id", "_source_key", "_source_hash", "_ingested_at")
_ODS_TECHNICAL = {"_batch_id": "uuid", "_source_line": "bigint", "_publish_id": "bigint"}
_GOLD_TECHNICAL = {"_publish_id": "bigint"}


@dataclass(frozen=True)
class TableDdl:
    """A table of the warehouse in pieces, so that nothing needs to be locked where nothing is to be created.

    ``create`` and ``indexes`` (name → statement) are safe to repeat; ``columns`` (name → type) is what the catalog
    is compared with. ``partition_column`` is what the parent is partitioned by. The comments can be repeated at any
    time.
    """

    schema: str
    table: str
    columns: dict[str, str]
    required: frozenset[str]
    key: tuple[str, ...]
    partition_column: str
    indexed: dict[str, str] = field(default_factory=dict)
    comments: tuple[str, ...] = ()

    @property
    def relation(self) -> str:
        """``ods.olist_orders``."""
        return f"{self.schema}.{self.table}"

    @property
    def data(self) -> str:
        """The default partition that holds all rows of a table that is not partitioned by batch or date."""
        return f"{self.relation}__data"

    @property
    def create(self) -> str:
        """The statement that creates the parent."""
        lines = [f"    {n} {t}{' not null' if n in self.required else ''}" for n, t in self.columns.items()]
        if self.key:
            lines.append(f"    primary key ({', '.join(self.key)})")
        body = ",\n".join(lines)
        return (
            f"create table if not exists {self.relation} (\n{body}\n) "
            f"partition by list ({self.partition_column});"
        )

    @property
    def indexes(self) -> dict[str, str]:
        """Name → statement that creates an index on the parent, and so on all of its partitions."""
        return {
            name: f"create index if not exists {name} on {self.relation} {method};"
            for name, method in self.indexed.items()
        }

    @property
    def text(self) -> str:
        """The whole DDL as one script."""
        return "\n".join([self.create, *self.indexes.values(), *self.comments]) + "\n"

    def for_stage(self, relation: str, values: str | None = None) -> tuple[str, ...]:
        """What a filled stage relation needs before it can be attached in milliseconds.

        All constraints are proven in one pass, and the indexes are those the parent has: attaching then neither
        reads nor builds anything. ``values`` is the literal of the partition it becomes (a date, a batch id); None
        where it becomes the default partition. Index names are left to Postgres, which keeps them unique.
        """
        actions = [f"alter column {n} set not null" for n in self.columns if n in self.required]
        if self.key:
            actions.append(f"add primary key ({', '.join(self.key)})")
        if values is not None:
            actions.append(f"add check ({self.partition_column} = {values})")
        return (
            f"alter table {relation} {', '.join(actions)};",
            *(f"create index on {relation} {method};" for method in self.indexed.values()),
        )


def banner(table: Contract | History) -> str:
    """The first line of every compiled file."""
    contract = table.of if isinstance(table, History) else table
    return _BANNER.format(source=contract.source, name=contract.name)


def literal(value: object) -> str:
    """A SQL literal: numbers and booleans as they are, everything else as a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def raw_columns(contract: Contract) -> dict[str, str]:
    """RAW: column → type. Text as landed, then the technical columns."""
    return {c.raw_name: "text" for c in contract.columns} | _RAW_TECHNICAL


def ods_columns(table: Contract | History) -> dict[str, str]:
    """ODS: column → type. Event tables carry the delivery's date."""
    columns = {c.name: c.type.sql for c in table.columns} | _ODS_TECHNICAL
    dated = isinstance(table, Contract) and table.partition_column
    return columns | ({PARTITION_COLUMN: "date"} if dated else {})


def gold_columns(model: GoldModel) -> dict[str, str]:
    """GOLD: column → type."""
    return {c.name: c.type.sql for c in model.columns} | _GOLD_TECHNICAL


def required_columns(table: TableContract, columns: Mapping[str, str]) -> frozenset[str]:
    """The columns that always have a value, of these; contract columns of RAW are never among them."""
    # What a history says of a row that is gone came in no file's line.
    technical = {"_publish_id"} if isinstance(table, History) else TECHNICAL.keys()
    return frozenset(columns) & (technical | {c.name for c in table.columns if c.required})


def raw_ddl(contract: Contract) -> TableDdl:
    """RAW: text as landed, partitioned by batch.

    Source columns may be null only because a contract can gain a column after a batch has landed.
    """
    columns = raw_columns(contract)
    meanings = {c.raw_name: c.description for c in contract.columns}
    return TableDdl(
        schema="raw",
        table=contract.table,
        columns=columns,
        required=frozenset(_RAW_TECHNICAL),
        key=(),
        partition_column="_batch_id",
        comments=_comments(
            f"raw.{contract.table}", f"{contract.description} As landed, all text.", columns, meanings
        ),
    )


def ods_ddl(table: Contract | History) -> TableDdl:
    """ODS: typed, keyed, one row per key. Event tables are partitioned by the delivery's date."""
    if isinstance(table, History):
        return _keyed("ods", table, ods_columns(table), table.key, None)
    return _keyed("ods", table, ods_columns(table), table.stored_key, table.partition_column)


def gold_ddl(model: GoldModel) -> TableDdl:
    """GOLD: one row per key; the column that holds the unit of recomputation is indexed."""
    return _keyed("gold", model, gold_columns(model), model.key, None, model.scope)


def _keyed(
    schema: str,
    table: TableContract,
    columns: dict[str, str],
    key: tuple[str, ...],
    event_time: str | None,
    scope: str | None = None,
) -> TableDdl:
    """A table with one row per key. Its indexes serve people who query it, and the merge of what changed."""
    indexed = [c.name for c in table.columns if (c.indexed or c.name == scope) and c.name != key[0]]
    return TableDdl(
        schema=schema,
        table=table.table,
        columns=columns,
        required=required_columns(table, columns),
        key=key,
        partition_column=PARTITION_COLUMN if event_time else key[0],
        # Rows of a publish lie together, so a block range index finds them and costs the load nothing.
        indexed={f"{table.table}__publish_id_idx": "using brin (_publish_id)"}
        | {f"{table.table}_{name}_idx": f"({name})" for name in indexed},
        comments=_comments(
            f"{schema}.{table.table}",
            f"{table.description} {table.grain}",
            columns,
            {c.name: c.description for c in table.columns},
        ),
    )


def _comments(
    relation: str, meaning: str, columns: Iterable[str], meanings: Mapping[str, str]
) -> tuple[str, ...]:
    meanings = {**TECHNICAL, **meanings}
    return (
        f"comment on table {relation} is {literal(meaning)};",
        *(f"comment on column {relation}.{name} is {literal(meanings[name])};" for name in columns),
    )
