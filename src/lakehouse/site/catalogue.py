"""Every table and column: what it means, where it comes from, what holds it to that. From contracts and SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.compile.conform import conform_sql
from lakehouse.compile.lineage import Columns, Lineage, column_lineage, table_lineage
from lakehouse.contract import Contract, GoldModel, Project, Rule, TableContract
from lakehouse.contract.model import SCHEMAS, Column

#: What PII classes mean to a reader of the warehouse.
PII = {
    "none": "",
    "pseudonym": "stands for a person; readable",
    "personal": "closed to analysts; masked.<table> shows ***",
}


@dataclass(frozen=True)
class Table:
    """A table of silver or gold as the catalogue shows it; ``name`` is ``<schema>.<table>`` of the warehouse."""

    name: str
    layer: str
    contract: TableContract
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    untraced: str

    @property
    def page(self) -> str:
        """Where the site has it."""
        return f"tables/{self.name}.html"

    @property
    def sql(self) -> str:
        """The query that makes it; of a history there is none of its own."""
        if isinstance(self.contract, GoldModel):
            return self.contract.sql
        return conform_sql(self.contract) if isinstance(self.contract, Contract) else ""

    @property
    def sql_path(self) -> str:
        """The file that holds the query."""
        if isinstance(self.contract, GoldModel):
            return f"sql/gold/{self.contract.table}.sql"
        return f"sql/ods/{self.contract.table}.conform.sql"

    @property
    def file_name(self) -> str:
        """The file that it lands in; empty for a computed table."""
        return self.contract.file_name if isinstance(self.contract, Contract) else ""

    def made_of(self, column: Column) -> tuple[str, ...]:
        """The columns that a column is made of."""
        return self.columns.get(column.name, ())

    def rules(self) -> tuple[Rule, ...]:
        """The written rules; hard ones first."""
        order = {"hard": 0, "row": 1, "soft": 2}
        return tuple(sorted(self.contract.rules, key=lambda r: (order[r.severity], r.name)))


@dataclass(frozen=True)
class Catalogue:
    """All tables by name, and the lineage of each source."""

    tables: Mapping[str, Table]
    lineages: Mapping[str, Lineage]

    @classmethod
    def of(cls, project: Project) -> Catalogue:
        """Read it from the contracts and the SQL."""
        columns, untraced = column_lineage(project)
        lineages = {source: table_lineage(project, source) for source in project.sources}
        tables = {t.name: t for s in lineages for t in _tables(project, lineages[s], columns, untraced)}
        return cls(tables, lineages)

    def page(self, relation: str) -> str | None:
        """The page of ``<schema>.<table>``; RAW is shown on the page of its ODS table."""
        table = self.tables.get(
            relation.replace("raw.", "ods.", 1) if relation.startswith("raw.") else relation
        )
        return table.page if table else None

    def page_of(self, layer: str, table: str) -> str | None:
        """The page of a table of a layer; none for what is audited beside tables."""
        return self.page(f"{SCHEMAS.get(layer, layer)}.{table}")

    def owner(self, layer: str, table: str) -> str:
        """The team to ask about a table; empty when nobody is named."""
        schema = "ods" if layer == "bronze" else SCHEMAS.get(layer, layer)
        found = self.tables.get(f"{schema}.{table}")
        return found.contract.owner if found else ""

    def search_index(self) -> list[list[str]]:
        """(name, kind, what it is, page) of every table, column and rule."""
        return [entry for table in self.tables.values() for entry in _entries(table)]


def _tables(
    project: Project, lineage: Lineage, columns: Columns, untraced: Mapping[str, str]
) -> Iterator[Table]:
    names = {n.key: n.name for n in lineage.nodes}
    for node in lineage.nodes:
        if node.stage not in ("silver", "gold"):
            continue
        contract: TableContract = (
            project.gold[node.table] if node.stage == "gold" else project.silver[node.table]
        )
        yield Table(
            node.name,
            node.stage,
            contract,
            tuple(names[a] for a, b in lineage.edges if b == node.key),
            tuple(names[b] for a, b in lineage.edges if a == node.key),
            columns.get(node.name, {}),
            untraced.get(node.name, ""),
        )


def _entries(table: Table) -> Iterator[list[str]]:
    yield [table.name, "table", table.contract.description, table.page]
    for column in table.contract.columns:
        yield [f"{table.name}.{column.name}", "column", column.description, f"{table.page}#{column.name}"]
    for rule in table.contract.rules:
        yield [rule.name, "rule", f"{table.name}: {rule.description}", f"{table.page}#tests"]


def column_facts(table: Table, known: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Column → its statistics, as far as there are any: ``missing_rate`` from 0 to 1, ``distinct_count``."""
    rows = ((c.name, known.get((table.name, c.name))) for c in table.contract.columns)
    return {name: row for name, row in rows if row}


@dataclass(frozen=True)
class Placed:
    """A node of the drawn lineage: its column and its row there."""

    key: str
    name: str
    stage: str
    table: str
    column: int
    row: float


def drawn(lineage: Lineage) -> list[Placed]:
    """Where the nodes of a lineage are drawn: by how far they are from the files, near to what they are made of."""
    before: dict[str, list[str]] = {n.key: [] for n in lineage.nodes}
    for a, b in lineage.edges:
        before[b].append(a)
    stages = {n.key: ("file", "bronze", "silver", "gold").index(n.stage) for n in lineage.nodes}
    depth: dict[str, int] = {}

    def depth_of(key: str) -> int:
        if key not in depth:
            depth[key] = max([stages[key], *(1 + depth_of(k) for k in before[key])])
        return depth[key]

    for node in lineage.nodes:
        depth_of(node.key)
    height = max(list(depth.values()).count(d) for d in depth.values()) if depth else 0
    rows: dict[str, float] = {}
    placed = []
    for level in sorted(set(depth.values())):
        nodes = [n for n in lineage.nodes if depth[n.key] == level]
        nodes.sort(key=lambda n: (_middle([rows[k] for k in before[n.key]]), n.name))
        top = (height - len(nodes)) / 2
        for index, node in enumerate(nodes):
            rows[node.key] = top + index
            placed.append(Placed(node.key, node.name, node.stage, node.table, level, rows[node.key]))
    return placed


def _middle(rows: list[float]) -> float:
    return sum(rows) / len(rows) if rows else 0.0
