"""Runs golden cases: tiny inputs as CSV files, the real query, the expected rows, on a real engine.

A case is a folder. Its files:

* ``case.md``: which trap the case shows, in a sentence or two;
* ``ods.<table>.csv``, ``gold.<table>.csv``: what the query reads, any subset of columns; no file, no rows;
* ``changed.<ods table>.csv``: rows changed since the last publish. Without any such file everything in ods is
  new; with at least one, tables without a file have no changed rows;
* ``affected.<unit>.csv``: the units to recompute. Without it they come from the unit's own query;
* ``delivery.csv``: the delivery's ``partition_key``; there is no default date;
* ``expected.csv``: the rows the query must return, in any order. Any subset of columns;
* ``staged.csv``, ``broken.<rule>.csv``: rows as they would be staged, and the keys that a rule must report.

An empty field is NULL, ``""`` is an empty text. A file with an unknown name or column is an error.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

import sqlglot
from sqlglot import exp

from lakehouse.compile.refs import references, rewrite
from lakehouse.contract.gold import GoldModel
from lakehouse.contract.project import Project

HERE = Path(__file__).parent / "gold"
_SCHEMA = "golden"
_OTHER_FILES = {"case.md", "delivery.csv", "expected.csv", "staged.csv"}


class Engine(Protocol):
    """A SQL engine with an empty schema ``golden``."""

    dialect: str

    def run(self, sql: str) -> None:
        """Run a statement."""

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Run a query and return its rows."""

    def load(self, relation: str, columns: Sequence[str], types: Sequence[str], path: Path) -> None:
        """Append a CSV file with a header to these columns of a relation."""


@cache
def project() -> Project:
    """The project under test."""
    return Project.load()


@cache
def output_types(table: str) -> dict[str, str]:
    """Column → Postgres type of a gold table, from the casts of its SELECT."""
    tree = sqlglot.parse_one(project().gold[table].sql, dialect="postgres", into=exp.Select)
    uncast = [column.alias_or_name for column in tree.selects if not isinstance(column.unalias(), exp.Cast)]
    if uncast:
        raise ValueError(f"{table}: cast every output column; these are not: {uncast}")
    return {column.alias: column.unalias().args["to"].sql("postgres") for column in tree.selects}


def unit_types(source: str, unit: str) -> dict[str, str]:
    """The one column of ``affected.<unit>``, with the type it has in the tables that are recomputed by it."""
    types = {
        output_types(m.table)[m.scope]
        for m in project().models(source)
        if m.affected_by == unit and m.scope is not None
    }
    if len(types) != 1:
        raise ValueError(f"unit {unit} of {source} needs one type, has {types or 'no table'}")
    return {unit: types.pop()}


@dataclass(frozen=True)
class Case:
    """One folder; ``subject`` is a gold table or, below ``affected/<source>/``, a unit."""

    folder: Path

    @cached_property
    def is_unit(self) -> bool:
        """Whether the query under test lists affected units."""
        return self.folder.relative_to(HERE).parts[0] == "affected"

    @property
    def subject(self) -> str:
        """The gold table or unit under test."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        """The case's name in test reports."""
        return self.folder.relative_to(HERE).as_posix()

    @property
    def source(self) -> str:
        """The source whose units are concerned."""
        return self.folder.parent.parent.name if self.is_unit else project().gold[self.subject].source

    @property
    def model(self) -> GoldModel:
        """The gold model under test."""
        return project().gold[self.subject]

    @cached_property
    def files(self) -> dict[str, Path]:
        """Logical relation → CSV file.

        Raises:
            ValueError: a file whose name means nothing.
        """
        found: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            kind = path.name.split(".")[0]
            if path.name in _OTHER_FILES or (kind == "broken" and path.suffix == ".csv"):
                continue
            relation = path.name.removesuffix(".csv")
            columns_of(self, relation)
            found[relation] = path
        return found

    @property
    def broken(self) -> dict[str, Path]:
        """Rule → file with the keys it must report."""
        return {p.name.split(".")[1]: p for p in sorted(self.folder.glob("broken.*.csv"))}


def columns_of(case: Case, relation: str) -> dict[str, str]:
    """Column → type of a logical relation.

    Raises:
        ValueError: there is no such relation.
    """
    schema, _, table = relation.partition(".")
    if relation == "delivery":
        return {"partition_key": "date"}
    if relation == "staged":
        return output_types(case.subject)
    if schema in ("ods", "changed") and table in project().contracts:
        return {column.name: column.type.sql for column in project().contracts[table].columns}
    if schema == "gold" and table in project().gold:
        return output_types(table)
    if schema == "affected" and table:
        return unit_types(case.source, table)
    raise ValueError(f"{case.name}: no relation is called {relation!r}; see the list in {__name__}")


def all_cases() -> list[Case]:
    """Every folder that has a ``case.md``, and every folder without files that should have one."""
    folders = {p.parent for p in HERE.rglob("*") if p.is_file()}
    return [Case(folder) for folder in sorted(folders)]


class Run:
    """One case on one engine. Relations are made when a query first needs them."""

    def __init__(self, case: Case, engine: Engine) -> None:
        self.case = case
        self.engine = engine
        self.made: set[str] = set()
        self.has_changes = any(relation.startswith("changed.") for relation in case.files)

    def physical(self, relation: str) -> str:
        """Make the relation if it is not there yet; return its name in the engine."""
        name = f"{_SCHEMA}.{relation.replace('.', '__')}"
        if relation not in self.made:
            self.made.add(relation)
            self._make(relation, name)
        return name

    def _make(self, relation: str, name: str) -> None:
        schema, _, table = relation.partition(".")
        if relation == "delivery":
            self.fill(relation, name, self.case.folder / "delivery.csv")
        elif relation in self.case.files:
            self.fill(relation, name, self.case.files[relation])
        elif schema == "changed" and not self.has_changes:
            self.engine.run(f"create table {name} as select * from {self.physical(f'ods.{table}')}")
        elif schema == "affected":
            self.materialise(project().affected_sql(self.case.source, table), name)
        elif relation == "staged":
            self.materialise(self.case.model.sql, name)
        else:
            self.fill(relation, name, None)

    def fill(self, relation: str, name: str, path: Path | None) -> None:
        """Create a relation from a file; without one it is empty."""
        types = columns_of(self.case, relation)
        self.create(name, types)
        if path is not None:
            header = csv_header(path)
            unknown = [column for column in header if column not in types]
            if unknown:
                raise ValueError(f"{self.case.name}/{path.name}: {relation} has no columns {unknown}")
            self.engine.load(name, header, [types[column] for column in header], path)

    def create(self, name: str, types: dict[str, str]) -> None:
        """Create an empty table."""
        columns = ", ".join(f"{column} {sql_type}" for column, sql_type in types.items())
        ddl = f"create table {name} ({columns})"
        self.engine.run(sqlglot.transpile(ddl, read="postgres", write=self.engine.dialect)[0])

    def materialise(self, sql: str, name: str) -> None:
        """Run a query as it is written, over the case's relations, and keep its rows."""
        self.engine.run(f"create table {name} as {self.rewritten(sql)}")

    def rewritten(self, sql: str) -> str:
        """The query with its logical names replaced, in the engine's dialect."""
        for relation in sorted(references(sql)):
            self.physical(relation)
        return rewrite(sql, self.physical, to=self.engine.dialect)

    def difference(self, actual: str, expected: Path, types: dict[str, str]) -> str:
        """What is missing from, and what is too much in, a relation; empty when it is as expected."""
        header = csv_header(expected)
        unknown = [column for column in header if column not in types]
        if unknown:
            raise ValueError(f"{self.case.name}/{expected.name}: unknown columns {unknown}")
        wanted = f"{_SCHEMA}.wanted_{expected.stem.replace('.', '_')}"
        self.create(wanted, {column: types[column] for column in header})
        self.engine.load(wanted, header, [types[column] for column in header], expected)
        columns = ", ".join(header)
        rows = self.engine.rows
        missing = rows(f"select {columns} from {wanted} except all select {columns} from {actual}")
        surplus = rows(f"select {columns} from {actual} except all select {columns} from {wanted}")
        lines = [f"missing:    {row}" for row in missing] + [f"unexpected: {row}" for row in surplus]
        return "\n".join([f"columns:    {tuple(header)}", *lines]) if lines else ""


def csv_header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        ValueError: the file is empty.
    """
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), None)
    if not header:
        raise ValueError(f"{path} is empty; write at least the header.")
    return header
