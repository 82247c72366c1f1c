"""What monitoring reads: figures from the views ``ops.metric_*``, as name, labels and value.

The views are read as ``lakehouse_monitor``, who may read nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

#: Label → what monitoring calls it; others keep the name of their column.
_SHORT = {"table_name": "table"}


@dataclass(frozen=True)
class Family:
    """One metric: a column of a view, its rows told apart by other columns."""

    name: str
    help: str
    view: str
    value: str
    labels: tuple[str, ...] = ()
    #: A label that tells several columns of one view apart, such as ``("fate", "read")``.
    fixed: tuple[str, str] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels as monitoring sees them."""
        own = tuple(_SHORT.get(label, label) for label in self.labels)
        return (*own, self.fixed[0]) if self.fixed else own


@dataclass(frozen=True)
class Figure:
    """One value of a metric."""

    family: Family
    labels: tuple[str, ...]
    value: float


_TABLE = ("source", "layer", "table_name")
_ROWS = (
    "Rows published in the last 24 hours (day) and in the 30 days before (before), by what became of them."
)
_RULES = "Rules that the newest gate of a layer has judged, by severity."

FAMILIES: tuple[Family, ...] = (
    Family(
        "lakehouse_delivery_landed_timestamp_seconds",
        "When the newest delivery that a run has seen was landed.",
        "metric_delivery",
        "landed_timestamp",
        ("source",),
    ),
    Family(
        "lakehouse_table_published_timestamp_seconds",
        "When a table was last published.",
        "metric_table",
        "published_timestamp",
        _TABLE,
    ),
    Family(
        "lakehouse_table_verdict",
        "Always 1: the verdict of a table's newest publish is its label.",
        "metric_table",
        "1",
        (*_TABLE, "verdict"),
    ),
    Family(
        "lakehouse_open_partitions",
        "Partitions that a layer is not done with.",
        "metric_open",
        "partition_count",
        ("source", "layer", "status"),
    ),
    Family(
        "lakehouse_open_partition_oldest_timestamp_seconds",
        "Since when the oldest of them is not done.",
        "metric_open",
        "oldest_timestamp",
        ("source", "layer", "status"),
    ),
    *(
        Family("lakehouse_rows", _ROWS, "metric_rows", f"{fate}_rows", (*_TABLE, "period"), ("fate", fate))
        for fate in ("read", "published", "quarantined", "duplicate", "conflicting")
    ),
    Family(
        "lakehouse_quarantined_ratio",
        "Quarantined rows per row read; the same periods.",
        "metric_rows",
        "quarantined_ratio",
        (*_TABLE, "period"),
    ),
    Family(
        "lakehouse_step_seconds",
        "How long a step of the newest published run took, waiting included.",
        "metric_step",
        "seconds",
        ("source", "layer", "step"),
    ),
    *(
        Family(
            "lakehouse_rules",
            _RULES,
            "metric_rule",
            f"{outcome}_count",
            ("source", "layer", "severity"),
            ("outcome", outcome),
        )
        for outcome in ("checked", "failed")
    ),
    Family(
        "lakehouse_home_bytes",
        "Bytes of the warehouse's schemas, the lake's layers and the landing zone's sources.",
        "metric_size",
        "bytes",
        ("home", "part"),
    ),
    *(
        Family("lakehouse_sessions", "Sessions on the warehouse: all of them, and those that ask something now.",
               "metric_session", f"{state}_count", ("role",), ("state", state))
        for state in ("session", "active")
    ),
    Family(
        "lakehouse_growth_bytes_per_day",
        "Slope of the samples of the last 30 days.",
        "metric_growth",
        "per_day",
        ("measure",),
    ),
    Family(
        "lakehouse_queries_per_day",
        "Tables that runs computed per day, of the last seven days.",
        "metric_workload",
        "queries_per_day",
    ),
)  # fmt: skip


def read(conn: Connection) -> Iterator[Figure]:
    """Every figure that has a value now; a few hundred at most.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the warehouse does not answer, or has no ledger yet.
    """
    for family in FAMILIES:
        columns = ", ".join((*(f"{label}::text" for label in family.labels), f"({family.value})::float8"))
        found = conn.execute(text(f"select {columns} from ops.{family.view}"))
        fixed = (family.fixed[1],) if family.fixed else ()
        for *labels, value in found:
            if value is not None:
                yield Figure(family, (*labels, *fixed), value)
