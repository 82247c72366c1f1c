"""Runs golden cases: tiny inputs as CSV files, the real query, the expected rows.

A case is a folder. Its files:

* ``case.md``: which trap the case shows, in a sentence or two;
* ``ods.<table>.csv``, ``gold.<table>.csv``: what the query reads, any subset of columns; no file, no rows;
* ``changed.<ods table>.csv``: rows changed since the last publish. Without any such file everything in ods is
  new; with at least one, tables without a file have no changed rows;
* ``affected.<unit>.csv``: the units to recompute. Without it they come from the unit's own query;
* ``expected.csv``: the rows the query must return, in any order. Any subset of columns;
* ``staged.csv``, ``broken.<rule>.csv``: rows as they would be staged, and the keys that a rule must report.

An empty field is NULL, ``""`` is an empty text. A file with an unknown name or column is an error.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import duckdb

from lakehouse.compile.gold_tables import gold_query
from lakehouse.compile.refs import LOGICAL_SCHEMAS, references
from lakehouse.contract import GoldModel, Project, TableContract

HERE = Path(__file__).parent / "gold"
_OTHER_FILES = {"case.md", "expected.csv", "staged.csv"}


@cache
def project() -> Project:
    """The project under test."""
    return Project.load()


def types_of(table: TableContract) -> dict[str, str]:
    """Column → type of a table."""
    return {column.name: column.type.sql for column in table.columns}


def unit_types(source: str, unit: str) -> dict[str, str]:
    """The one column of ``affected.<unit>``, with the type it has in the tables that are recomputed by it."""
    types = {
        m.column(m.scope).type.sql for m in project().models(source) if m.unit == unit and m.scope is not None
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
        return self.folder.parent.parent.name if self.is_unit else self.model.source

    @property
    def model(self) -> GoldModel:
        """The gold model under test."""
        return project().gold[self.subject]

    @property
    def query(self) -> str:
        """The query under test, as a run executes it."""
        return project().affected_sql(self.source, self.subject) if self.is_unit else gold_query(self.model)

    @property
    def types(self) -> dict[str, str]:
        """Column → type of the query's result."""
        return unit_types(self.source, self.subject) if self.is_unit else types_of(self.model)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Relation → CSV file.

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
    """Column → type of a relation.

    Raises:
        ValueError: there is no such relation.
    """
    schema, _, table = relation.partition(".")
    if relation == "staged":
        return types_of(case.model)
    if schema in ("ods", "changed") and table in project().silver:
        return types_of(project().silver[table])
    if schema == "gold" and table in project().gold:
        return types_of(project().gold[table])
    if schema == "affected" and table:
        return unit_types(case.source, table)
    raise ValueError(f"{case.name}: no relation is called {relation!r}; see the list in {__name__}")


def all_cases() -> list[Case]:
    """Every folder that has a ``case.md``, and every folder without files that should have one."""
    folders = {p.parent for p in HERE.rglob("*") if p.is_file()}
    return [Case(folder) for folder in sorted(folders)]


class Run:
    """One case in a database of its own. Relations are made when a query first needs them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.connection = duckdb.connect()
        self.made: set[str] = set()
        self.has_changes = any(relation.startswith("changed.") for relation in case.files)
        for schema in sorted(LOGICAL_SCHEMAS):
            self.connection.execute(f"create schema {schema}")

    def query(self, sql: str, relation: str) -> None:
        """Make what a query reads, run it as it is written, and keep its rows."""
        for needed in sorted(references(sql)):
            self.make(needed)
        self.connection.execute(f"create table {relation} as {sql}")

    def make(self, relation: str) -> None:
        """Make a relation if it is not there yet."""
        if relation in self.made:
            return
        self.made.add(relation)
        schema, _, table = relation.partition(".")
        if relation in self.case.files:
            self.fill(relation, self.case.files[relation])
        elif schema == "changed" and not self.has_changes:
            self.query(f"select * from ods.{table}", relation)
        elif schema == "affected":
            self.query(project().affected_sql(self.case.source, table), relation)
        elif relation == "staged":
            path = self.case.folder / "staged.csv"
            self.fill(relation, path) if path.exists() else self.query(self.case.query, relation)
        else:
            self.fill(relation, None)

    def fill(self, relation: str, path: Path | None) -> None:
        """Create a relation from a file; without one it is empty."""
        types = columns_of(self.case, relation)
        columns = ", ".join(f"{column} {sql_type}" for column, sql_type in types.items())
        self.connection.execute(f"create table {relation} ({columns})")
        if path is not None:
            self.connection.execute(f"insert into {relation} by name {self.rows(path, types)}")

    def rows(self, path: Path, types: dict[str, str]) -> str:
        """A query of the rows of a CSV file."""
        header = csv_header(path)
        unknown = [column for column in header if column not in types]
        if unknown:
            raise ValueError(f"{self.case.name}/{path.name}: unknown columns {unknown}")
        texts = ", ".join(f"'{column}': 'varchar'" for column in header)
        casts = ", ".join(f"cast({column} as {types[column]}) as {column}" for column in header)
        return (
            f"select {casts} from read_csv('{path.as_posix()}', columns = {{{texts}}}, header = true, delim = ',', "
            "quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, auto_detect = false)"
        )

    def difference(self, actual: str, expected: Path, types: dict[str, str]) -> str:
        """What is missing from, and what is too much in, a relation; empty when it is as expected."""
        header = csv_header(expected)
        wanted, got = self.rows(expected, types), f"select {', '.join(header)} from {actual}"
        missing = self.connection.execute(f"({wanted}) except all ({got})").fetchall()
        surplus = self.connection.execute(f"({got}) except all ({wanted})").fetchall()
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
