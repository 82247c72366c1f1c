"""Every gold query on its golden cases, on Postgres and on DuckDB. What a case is made of: see ``golden``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from sqlglot import transpile

from lakehouse.compile.refs import references
from lakehouse.stack.postgres import PostgresServer, create_database

from .golden import Case, Engine, Run, all_cases, output_types, project, unit_types

CASES = all_cases()


class PostgresEngine:
    """A transaction that is rolled back."""

    dialect = "postgres"

    def __init__(self, connection: Connection) -> None:
        self.cursor = connection.cursor()
        self.run("create schema golden")

    def run(self, sql: str) -> None:
        self.cursor.execute(sql)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        self.cursor.execute(sql)
        return self.cursor.fetchall()

    def load(self, relation: str, columns: Sequence[str], types: Sequence[str], path: Path) -> None:
        with path.open(encoding="utf-8") as file:
            self.cursor.copy_expert(
                f"copy {relation} ({', '.join(columns)}) from stdin (format csv, header match)", file
            )


class DuckdbEngine:
    """A database in memory."""

    dialect = "duckdb"

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.run("create schema golden")

    def run(self, sql: str) -> None:
        self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.connection.execute(sql).fetchall()

    def load(self, relation: str, columns: Sequence[str], types: Sequence[str], path: Path) -> None:
        casts = [f"cast({name} as {sql_type})" for name, sql_type in zip(columns, types, strict=True)]
        typed = transpile(f"select {', '.join(casts)}", read="postgres", write="duckdb")[0]
        named = ", ".join(f"'{column}': 'varchar'" for column in columns)
        self.run(
            f"insert into {relation} ({', '.join(columns)}) {typed} from read_csv("
            f"'{path.as_posix()}', columns = {{{named}}}, header = true, delim = ',', quote = '\"', "
            "escape = '\"', nullstr = '', allow_quoted_nulls = false, auto_detect = false)"
        )


@pytest.fixture(scope="session")
def golden_database(pg_server: PostgresServer) -> str:
    """DSN of a database that golden cases share, each in a transaction of its own."""
    create_database(pg_server, "golden", "postgres")
    return pg_server.dsn(database="golden")


@pytest.fixture(params=["postgres", "duckdb"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "duckdb":
        yield DuckdbEngine()
        return
    connection = psycopg2.connect(request.getfixturevalue("golden_database"))
    yield PostgresEngine(connection)
    connection.rollback()
    connection.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, engine: Engine) -> None:
    run = Run(case, engine)
    problems = []
    expected = case.folder / "expected.csv"
    if case.is_unit:
        run.materialise(project().affected_sql(case.source, case.subject), "golden.result")
        problems.append(run.difference("golden.result", expected, unit_types(case.source, case.subject)))
    elif (case.folder / "staged.csv").exists():
        run.made.add("staged")
        run.fill("staged", "golden.staged", case.folder / "staged.csv")
        assert case.broken, "staged.csv is audited by broken.<rule>.csv"
    else:
        problems.append(run.difference(run.physical("staged"), expected, output_types(case.subject)))
    rules = {rule.name: rule for rule in case.model.rules} if case.broken else {}
    for name, path in case.broken.items():
        run.materialise(rules[name].arguments["query"], f"golden.broken_{name}")
        types = {column: output_types(case.subject)[column] for column in case.model.key}
        problems.append(run.difference(f"golden.broken_{name}", path, types))
    assert not any(problems), "\n".join(problem for problem in problems if problem)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_says_what_it_shows(case: Case) -> None:
    assert (case.folder / "case.md").read_text(encoding="utf-8").strip()
    assert case.files or case.broken


@pytest.mark.parametrize("table", sorted(project().gold))
def test_table_has_a_case(table: str) -> None:
    assert any(case.subject == table and not case.is_unit for case in CASES)


@pytest.mark.parametrize("table", sorted(project().gold))
def test_header_describes_the_query(table: str) -> None:
    model = project().gold[table]
    assert list(output_types(table)) == list(model.columns)
    assert model.affected_by == "all" or f"affected.{model.affected_by}" in references(model.sql)
    assert set(model.references) <= set(model.columns)
    for target in model.references.values():
        _, other, column = target.split(".")
        assert column in project().gold[other].columns


UNITS = sorted({(m.source, m.affected_by) for m in project().gold.values() if m.affected_by != "all"})


@pytest.mark.parametrize(("source", "unit"), UNITS)
def test_unit_has_a_case(source: str, unit: str) -> None:
    assert any(case.is_unit and (case.source, case.subject) == (source, unit) for case in CASES)


def test_every_unit_file_is_used() -> None:
    root = project().root / "sql" / "gold" / "affected"
    assert {(path.parent.name, path.stem) for path in root.glob("*/*.sql")} == set(UNITS)


@pytest.mark.parametrize("table", sorted(project().gold))
def test_every_rule_is_proven_to_report(table: str) -> None:
    proven = {
        rule
        for case in CASES
        if not case.is_unit and case.subject == table
        for rule, path in case.broken.items()
        if len(path.read_text(encoding="utf-8").splitlines()) > 1
    }
    assert {rule.name for rule in project().gold[table].rules} == proven
