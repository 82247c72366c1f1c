"""What is made from what: tables from tables, columns from columns. Read from contracts and SQL, never from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lakehouse.compile.refs import DIALECT
from lakehouse.contract import Contract, GoldModel, Project, TableContract
from lakehouse.contract.model import PARTITION_COLUMN, History
from lakehouse.errors import LakehouseError

Stage = Literal["file", "bronze", "silver", "gold"]
#: Columns of ODS that no contract has, and a query may read.
_TECHNICAL = {
    "_batch_id": "uuid",
    "_source_line": "bigint",
    "_publish_id": "bigint",
    PARTITION_COLUMN: "date",
}


@dataclass(frozen=True)
class Node:
    """A file or a table of one layer. ``name`` is what people call it there: ``orders.csv``, ``ods.olist_orders``."""

    stage: Stage
    table: str
    name: str

    @property
    def key(self) -> str:
        """Tells it from every other node."""
        return f"{self.stage}.{self.table}"


@dataclass(frozen=True)
class Lineage:
    """The nodes of a source in the order of the flow, and the edges between their keys."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


def table_lineage(project: Project, source: str) -> Lineage:
    """From the source's files to its computed tables, sorted by name within a stage.

    Raises:
        ContractError: there is no such source.
    """
    landed = sorted(project.tables(source), key=lambda c: c.table)
    kept = [c for c in landed if c.history]
    models = project.models(source)
    nodes = [
        *(Node("file", c.table, c.file_name) for c in landed),
        *(Node("bronze", c.table, f"raw.{c.table}") for c in landed),
        *(Node("silver", c.table, f"ods.{c.table}") for c in landed),
        *(Node("silver", c.history.table, f"ods.{c.history.table}") for c in kept if c.history),
        *(Node("gold", m.table, f"gold.{m.table}") for m in models),
    ]
    edges = [(f"file.{c.table}", f"bronze.{c.table}") for c in landed]
    edges += [(f"bronze.{c.table}", f"silver.{c.table}") for c in landed]
    edges += [(f"bronze.{c.table}", f"silver.{c.history.table}") for c in kept if c.history]
    for model in models:
        edges += [(f"silver.{t}", f"gold.{model.table}") for t in sorted(model.ods_references)]
        edges += [(f"gold.{t}", f"gold.{model.table}") for t in sorted(model.gold_references)]
    return Lineage(tuple(nodes), tuple(edges))


#: ``<schema>.<table>`` → column → the columns it is made of, each ``<schema>.<table>.<column>``; of landed tables the
#: file's name and its column. Sorted.
Columns = dict[str, dict[str, tuple[str, ...]]]


def column_lineage(project: Project) -> tuple[Columns, dict[str, str]]:
    """Which columns each column of silver and gold is made of, and the tables whose query cannot be followed, with why.

    A column that decides only *which* rows there are (in a join or a filter) is none of those.
    """
    columns: Columns = {f"ods.{t}": _landed(table) for t, table in project.silver.items()}
    unknown: dict[str, str] = {}
    known = _schema(project)
    for model in project.gold.values():
        try:
            columns[f"gold.{model.table}"] = _computed(model, known)
        except LakehouseError as error:
            unknown[f"gold.{model.table}"] = error.message
    return columns, unknown


def _landed(table: Contract | History) -> dict[str, tuple[str, ...]]:
    contract = table if isinstance(table, Contract) else table.of
    own = {c.name for c in contract.columns}
    return {
        c.name: (f"{contract.file_name}: {c.source_name}",) if c.name in own else () for c in table.columns
    }


def _schema(project: Project) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    def types(table: TableContract) -> dict[str, str]:
        return {c.name: c.type.sql for c in table.columns}

    return {
        "ods": {t: types(table) | _TECHNICAL for t, table in project.silver.items()},
        "gold": {t: types(model) for t, model in project.gold.items()},
    }


def _computed(
    model: GoldModel, known: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> dict[str, tuple[str, ...]]:
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import Node as Step
    from sqlglot.lineage import lineage

    try:
        traced = lineage(None, model.sql, dict(known), dialect=DIALECT, trim_selects=False)
    except SqlglotError as error:
        raise LakehouseError(f"sql/gold/{model.table}.sql cannot be followed: {error}") from error
    steps: Mapping[str, Step] = traced if isinstance(traced, dict) else {}
    return {
        c.name: tuple(sorted(_leaves(steps[c.name].walk()))) if c.name in steps else () for c in model.columns
    }


def _leaves(steps: Iterable[object]) -> set[str]:
    """The columns of ODS and gold among the steps of a column."""
    from sqlglot import exp

    found = set()
    for step in steps:
        relation = getattr(step, "expression", None)
        if isinstance(relation, exp.Table) and relation.db in ("ods", "gold"):
            column = str(getattr(step, "name", "")).rpartition(".")[2]
            found.add(f"{relation.db}.{relation.name}.{column}")
    return found
