"""The model of a table, landed or computed, as its contract defines it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from lakehouse.errors import ContractError

Severity = Literal["hard", "row", "soft"]
RuleKind = Literal[
    "not_null", "accepted_values", "range", "pattern", "unique", "row_count", "foreign_key", "sql"
]
Pii = Literal["none", "pseudonym", "personal"]

Layer = Literal["bronze", "silver", "gold"]

LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")
#: Layer → the warehouse's schema that holds what is published of it.
SCHEMAS: dict[str, str] = {"bronze": "raw", "silver": "ods", "gold": "gold"}
#: Holds the delivery's date in tables that are replaced partition by partition.
PARTITION_COLUMN = "_partition_key"


@dataclass(frozen=True)
class ColumnType:
    """A column's type, in the words of SQL: ``numeric(12,2)``, ``timestamp``, ``text`` …"""

    name: str
    precision: int | None = None
    scale: int | None = None

    @property
    def sql(self) -> str:
        """The type as Postgres writes it."""
        if self.name == "numeric":
            return f"numeric({self.precision},{self.scale})"
        return {"double": "double precision"}.get(self.name, self.name)


@dataclass(frozen=True)
class Reference:
    """A foreign key: the table and column that must hold the value."""

    table: str
    column: str
    severity: Severity = "hard"


@dataclass(frozen=True)
class Column:
    """One column: its name in the file, its name here, and everything known about it."""

    name: str
    source_name: str
    type: ColumnType
    description: str
    required: bool = False
    key_position: int | None = None
    pii: Pii = "none"
    references: Reference | None = None
    source_format: str | None = None
    indexed: bool = False
    partitioned: bool = False

    @property
    def raw_name(self) -> str:
        """The column's name in RAW and bronze: as in the file, in lower case."""
        return self.source_name.lower()


@dataclass(frozen=True)
class Rule:
    """One data-quality rule.

    ``arguments`` by kind: accepted_values ``{"values": [...]}``; range ``{"minimum", "maximum"}``; pattern
    ``{"pattern"}``; row_count ``{"minimum"}``; sql ``{"query"}`` (returns the keys of the broken rows of
    ``staged``); the others none.
    """

    name: str
    kind: RuleKind
    severity: Severity
    columns: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class TableContract:
    """What every table has, landed or computed: columns, key, rules.

    ``table`` is its name in every schema and namespace; ``source`` is whose DAGs make it.
    """

    source: str
    name: str
    description: str
    grain: str
    version: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]

    @property
    def table(self) -> str:
        """The table's name in every schema."""
        return self.name

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row, in key order."""
        keyed = [c for c in self.columns if c.key_position is not None]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.key_position or 0))

    @property
    def references(self) -> tuple[tuple[Column, Reference], ...]:
        """The columns that point to other tables."""
        return tuple((c, c.references) for c in self.columns if c.references)

    @property
    def personal(self) -> frozenset[str]:
        """The columns that hold personal data: closed to analysts, masked in reports."""
        return frozenset(c.name for c in self.columns if c.pii == "personal")

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            ContractError: the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(
            f"{self.table} has no column {name!r}.",
            f"Its columns: {', '.join(c.name for c in self.columns)}.",
        )


@dataclass(frozen=True, kw_only=True)
class Contract(TableContract):
    """A landed table: ``name`` is its name in the source, ``table`` is ``<source>_<name>``."""

    file_name: str
    retention_days: int | None = None
    quarantine_tolerance: float = 0.0
    allow_empty: bool = False
    delivery_date_column: str | None = None

    @property
    def table(self) -> str:
        """``<source>_<name>``, the table's name in raw, ods, bronze and silver."""
        return f"{self.source}_{self.name}"

    @property
    def stored_key(self) -> tuple[str, ...]:
        """The key in ODS and silver: tables of events may hold an id again on another delivery's date."""
        return (*self.key, PARTITION_COLUMN) if self.partition_column else self.key

    @cached_property
    def partition_column(self) -> str | None:
        """The column whose day is the partition key, for tables of events; None for tables of entities."""
        return next((c.name for c in self.columns if c.partitioned), None)


@dataclass(frozen=True, kw_only=True)
class GoldModel(TableContract):
    """A computed table: its contract (``contracts/gold/<table>.yaml``) and its SELECT (``sql/gold/<table>.sql``).

    ``unit`` names the unit of recomputation (``sql/gold/affected/<source>/<unit>.sql``, or ``all``); ``scope`` is
    the column that holds the unit, None for ``all``. The SELECT's columns have the contract's names, in any order
    and of any type that casts to the contract's.
    """

    unit: str
    scope: str | None
    sql: str

    @cached_property
    def gold_references(self) -> frozenset[str]:
        """The other gold tables this one reads (its own served rows not counted)."""
        return frozenset(reads("gold", self.sql)) - {self.table}

    @cached_property
    def ods_references(self) -> frozenset[str]:
        """The ODS tables this one reads."""
        return frozenset(reads("ods", self.sql))


def reads(schema: str, sql: str) -> list[str]:
    """Tables of a schema in a query. A pattern, because DAG files need this and must not wait for a parser."""
    return re.findall(rf"\b(?:from|join)\s+{schema}\.(\w+)", re.sub(r"--[^\n]*", "", sql), re.IGNORECASE)
