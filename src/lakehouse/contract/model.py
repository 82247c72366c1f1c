"""The model of a table, landed or computed, as its contract defines it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, Literal

from lakehouse.errors import ContractError

Severity = Literal["hard", "row", "soft"]
RuleKind = Literal[
    "not_null", "accepted_values", "range", "pattern", "unique", "row_count", "foreign_key", "sql"
]
Pii = Literal["none", "pseudonym", "personal"]
#: How a column leads to a person. ``subject``: it says who. ``through``: the row it points to leads there.
Person = Literal["subject", "through"]
#: What an erased value becomes that has to be told from others: a pseudonym, the same for the same value.
PSEUDONYM = "pseudonym"
#: ``full``: complete, what it lacks is gone. ``increment``: new and changed rows only.
DeliveryKind = Literal["full", "increment"]

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
    #: See :data:`Person`; of landed tables only.
    person: Person | None = None
    #: What an erased person's value becomes: a text as the file would have it, or :data:`PSEUDONYM`; None: it stays.
    erased_as: str | None = None

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

    ``table`` is its name in every schema and namespace; ``source`` is whose DAGs make it; ``owner`` is the team to ask.
    """

    source: str
    name: str
    description: str
    grain: str
    version: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    owner: str = ""

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
    """A landed table: ``name`` is its name in the source, ``table`` is ``<source>_<name>``.

    ``delivery_kind`` is what a delivery is unless landing says otherwise; ``shrink_tolerance`` the share of rows by
    which it may be smaller than the one it supersedes; ``earliest_date`` the first day that may date one.
    ``keeps_history`` asks for a second table, :attr:`history`.
    """

    file_name: str
    retention_days: int | None = None
    quarantine_tolerance: float = 0.0
    allow_empty: bool = False
    delivery_date_column: str | None = None
    delivery_kind: DeliveryKind = "increment"
    shrink_tolerance: float = 0.2
    earliest_date: date = date(2000, 1, 1)
    keeps_history: bool = False

    @property
    def table(self) -> str:
        """``<source>_<name>``, the table's name in raw, ods, bronze and silver."""
        return f"{self.source}_{self.name}"

    @property
    def stored_key(self) -> tuple[str, ...]:
        """The key in ODS and silver: tables of events may hold an id again on another delivery's date."""
        return (*self.key, PARTITION_COLUMN) if self.partition_column else self.key

    def shrinks(self, before: int, after: int) -> bool:
        """Whether a delivery of ``after`` rows loses more of ``before`` rows than is tolerated."""
        return before - after > self.shrink_tolerance * before

    @cached_property
    def history(self) -> History | None:
        """The table of its history, when the contract asks for one."""
        if not self.keeps_history:
            return None
        kept = tuple(replace(c, references=None, required=c.key_position is not None) for c in self.columns)
        key = ", ".join(self.key)
        return History(
            source=self.source,
            name=f"{self.table}_history",
            description=f"{self.description} What each delivery changed.",
            grain=f"One row per {key} and change.",
            version=self.version,
            columns=(*kept, *_validity(len(self.key) + 1)),
            rules=_history_rules(self.key),
            owner=self.owner,
            of=self,
        )

    @cached_property
    def person_column(self) -> Column | None:
        """The column that says, or leads to, the person a row is about; None where rows are about nobody."""
        return next((c for c in self.columns if c.person), None)

    @property
    def erased_columns(self) -> tuple[Column, ...]:
        """The columns whose values are replaced when their person is erased."""
        return tuple(c for c in self.columns if c.erased_as is not None)

    @cached_property
    def partition_column(self) -> str | None:
        """The column whose day is the partition key, for tables of events; None for tables of entities."""
        return next((c.name for c in self.columns if c.partitioned), None)


@dataclass(frozen=True, kw_only=True)
class History(TableContract):
    """What deliveries have said of the rows of a landed table (``of``), one row per key and change."""

    of: Contract


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
        """The gold tables this one reads."""
        return frozenset(reads("gold", self.sql))

    @cached_property
    def ods_references(self) -> frozenset[str]:
        """The ODS tables this one reads."""
        return frozenset(reads("ods", self.sql))


def _validity(position: int) -> tuple[Column, ...]:
    """The columns that a history has beside those of its table."""
    day, truth = ColumnType("date"), ColumnType("boolean")
    return (
        Column(
            "valid_from",
            "valid_from",
            day,
            "Date of the delivery since which this is said.",
            required=True,
            key_position=position,
        ),
        Column(
            "valid_to",
            "valid_to",
            day,
            "Date of the delivery that said otherwise, itself excluded; NULL while nobody has.",
        ),
        Column(
            "is_deleted",
            "is_deleted",
            truth,
            "A full delivery lacked the row; then its other columns are NULL.",
            required=True,
        ),
    )


def _history_rules(key: tuple[str, ...]) -> tuple[Rule, ...]:
    row = ", ".join(f"staged.{k}" for k in key)
    returned = "\n".join(f"    states.{k}," for k in key)
    query = f"""with states as (
    select
        staged.*,
        lead(staged.valid_from) over (partition by {row} order by staged.valid_from) as _next_from
    from staged
)

select
{returned}
    states.valid_from
from states
where states.valid_to is distinct from states._next_from"""  # noqa: S608
    return (
        Rule(
            "validity_has_no_gap_and_no_overlap",
            "sql",
            "hard",
            arguments={"query": query},
            description="What is said of a row ends where the next begins, and the last is open.",
        ),
    )


def reads(schema: str, sql: str) -> list[str]:
    """Tables of a schema in a query. A pattern, because DAG files need this and must not wait for a parser."""
    return re.findall(rf"\b(?:from|join)\s+{schema}\.(\w+)", re.sub(r"--[^\n]*", "", sql), re.IGNORECASE)
