"""The files of the Great Expectations project are what contracts say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lakehouse.compile.suites import suite_files
from lakehouse.contract import Project, Rule
from lakehouse.errors import ContractError


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


def test_committed_files_are_current(project: Project) -> None:
    stale = [
        path
        for path, text in suite_files(project).items()
        if not (project.root / path).exists() or (project.root / path).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make generate`"


def test_compiling_twice_gives_the_same(project: Project) -> None:
    assert suite_files(project) == suite_files(Project.load(project.root))


def test_ids_are_unique(project: Project) -> None:
    ids: list[str] = []
    for path, text in suite_files(project).items():
        if path.endswith(".json"):
            suite = json.loads(text)
            ids += [suite["id"], *(e["id"] for e in suite["expectations"])]
    assert len(ids) == len(set(ids)) > 100


def test_queries_are_written_for_the_database_that_holds_what_is_published(project: Project) -> None:
    query = "select order_id from staged where regexp_matches(order_id, '^a{2}') and price // 2 > 1"
    rule = Rule("translated", "sql", "soft", (), {"query": query})
    orders = project.contracts["olist_orders"]
    changed = replace(project, contracts={"olist_orders": replace(orders, rules=(rule,))})
    files = suite_files(changed)
    suite = json.loads(files["great_expectations/expectations/silver/olist_orders.json"])
    (found,) = [e for e in suite["expectations"] if e["meta"]["rule"] == "translated"]
    written = found["kwargs"]["unexpected_rows_query"]
    assert "order_id ~ '^a{{2}}'" in written
    assert "//" not in written


def test_what_is_not_sql_is_refused(project: Project) -> None:
    rule = Rule("broken", "sql", "soft", (), {"query": "select from where"})
    orders = project.contracts["olist_orders"]
    with pytest.raises(ContractError):
        suite_files(replace(project, contracts={"olist_orders": replace(orders, rules=(rule,))}))
