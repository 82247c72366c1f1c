"""Every gold query on its golden cases, as a run executes it. What a case is made of: see ``golden``."""

from __future__ import annotations

from typing import cast

import pytest
from sqlglot import exp

from lakehouse.compile.gold_tables import gold_query
from lakehouse.compile.refs import parse, references

from .golden import Case, Run, all_cases, project

CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    run = Run(case)
    problems = []
    if case.is_unit:
        run.query(case.query, "result")
        problems.append(run.difference("result", case.folder / "expected.csv", case.types))
    elif (case.folder / "staged.csv").exists():
        assert case.broken, "staged.csv is audited by broken.<rule>.csv"
    else:
        run.make("staged")
        problems.append(run.difference("staged", case.folder / "expected.csv", case.types))
    rules = {rule.name: rule for rule in case.model.rules} if case.broken else {}
    for name, path in case.broken.items():
        run.query(rules[name].arguments["query"], f"broken_{name}")
        problems.append(run.difference(f"broken_{name}", path, {k: case.types[k] for k in case.model.key}))
    assert not any(problems), "\n".join(problem for problem in problems if problem)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_says_what_it_shows(case: Case) -> None:
    assert (case.folder / "case.md").read_text(encoding="utf-8").strip()
    assert case.files or case.broken


@pytest.mark.parametrize("table", sorted(project().gold))
def test_table_has_a_case(table: str) -> None:
    assert any(case.subject == table and not case.is_unit for case in CASES)


@pytest.mark.parametrize("table", sorted(project().gold))
def test_query_has_the_columns_of_its_contract(table: str) -> None:
    model = project().gold[table]
    wanted = [column.name for column in model.columns]
    assert sorted(cast(exp.Query, parse(model.sql)).named_selects) == sorted(wanted)
    assert cast(exp.Query, parse(gold_query(model))).named_selects == wanted
    assert model.scope is None or f"affected.{model.unit}" in references(model.sql)


UNITS = sorted({(m.source, m.unit) for m in project().gold.values() if m.scope is not None})


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
