"""Contracts and gold headers become expectations; queries become what Great Expectations takes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot

from lakehouse.compile.rules import (
    BETWEEN,
    IN_SET,
    NOT_NULL,
    QUERY,
    REGEX,
    ROW_COUNT,
    UNIQUE,
    Expectation,
    accounting_expectations,
    agreement_expectations,
    batch_query,
    contract_expectations,
    gold_expectations,
    raw_expectations,
)
from lakehouse.contract import Column, ColumnType, Contract, Project, Reference, Rule
from lakehouse.errors import ContractError

TEXT = ColumnType("text")


def column(name: str, **given: Any) -> Column:
    return Column(name=name, source_name=name, type=TEXT, description=name, **given)


def contract(*rules: Rule, columns: tuple[Column, ...] = (), **given: Any) -> Contract:
    return Contract(
        source="shop",
        name="orders",
        file_name="orders.csv",
        description="",
        grain="one row per order",
        version="1.0.0",
        columns=(column("order_id", key_position=1, required=True), *columns),
        rules=rules,
        **given,
    )


def by_rule(found: tuple[Expectation, ...]) -> dict[str, Expectation]:
    assert len({e.rule for e in found}) == len(found), "two rules have the same name"
    return {e.rule: e for e in found}


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


def test_key_required_columns_and_rows_are_hard_without_being_written_down() -> None:
    rules = by_rule(contract_expectations(contract(columns=(column("state", required=True), column("note")))))
    assert {e.severity for e in rules.values()} == {"hard"}
    assert rules["has_rows"].kwargs == {"min_value": 1}
    assert rules["key_is_unique"].type == UNIQUE
    assert rules["state_is_given"].type == NOT_NULL
    assert "note_is_given" not in rules


def test_a_table_may_be_declared_empty() -> None:
    rules = by_rule(contract_expectations(contract(allow_empty=True)))
    assert rules["has_rows"].kwargs == {"min_value": 0}


def test_a_key_of_several_columns_is_one_combination() -> None:
    rules = by_rule(contract_expectations(contract(columns=(column("item", key_position=2),))))
    assert rules["key_is_unique"].type == QUERY
    assert "group by order_id, item" in rules["key_is_unique"].broken


@pytest.mark.parametrize(("severity", "expected"), [("hard", "hard"), ("soft", "soft"), ("row", "hard")])
def test_references_are_hard_unless_soft(severity: Any, expected: str) -> None:
    person = column("person_id", references=Reference("shop_people", "person_id", severity))
    rule = by_rule(contract_expectations(contract(columns=(person,))))["person_id_exists_in_shop_people"]
    assert rule.severity == expected
    assert "ods.shop_people" in rule.broken


@pytest.mark.parametrize(
    ("kind", "arguments", "gx_type", "kwargs"),
    [
        ("not_null", {}, NOT_NULL, {"column": "state"}),
        ("accepted_values", {"values": ["SP", 1]}, IN_SET, {"column": "state", "value_set": ["SP", 1]}),
        ("range", {"minimum": 0}, BETWEEN, {"column": "state", "min_value": 0}),
        ("range", {"maximum": "2030-01-01"}, BETWEEN, {"column": "state", "max_value": "2030-01-01"}),
        ("pattern", {"pattern": "^[A-Z]{2}$"}, REGEX, {"column": "state", "regex": "^[A-Z]{2}$"}),
        ("unique", {}, UNIQUE, {"column": "state"}),
        ("row_count", {"minimum": 7}, ROW_COUNT, {"min_value": 7}),
    ],
)
@pytest.mark.parametrize("severity", ["hard", "soft"])
def test_written_rules(
    kind: Any, arguments: dict[str, Any], gx_type: str, kwargs: dict[str, Any], severity: Any
) -> None:
    rule = Rule("written", kind, severity, ("state",), arguments, "why")
    found = by_rule(contract_expectations(contract(rule, columns=(column("state"),))))["written"]
    assert (found.type, found.kwargs, found.severity, found.description) == (gx_type, kwargs, severity, "why")


def test_row_rules_are_left_to_the_quarantine() -> None:
    rule = Rule("written", "not_null", "row", ("state",))
    assert "written" not in by_rule(contract_expectations(contract(rule, columns=(column("state"),))))


def test_quotes_in_values_stay_values() -> None:
    rule = Rule("written", "accepted_values", "hard", ("state",), {"values": ["d'Oeste"]})
    found = by_rule(contract_expectations(contract(rule, columns=(column("state"),))))["written"]
    assert "not in ('d''Oeste')" in found.broken


def test_every_rule_of_the_project_compiles_to_one_query(project: Project) -> None:
    found = [e for c in project.contracts.values() for e in contract_expectations(c) + raw_expectations(c)]
    found += [e for m in project.gold.values() for e in gold_expectations(m)]
    found += [*accounting_expectations(), *agreement_expectations()]
    assert len(found) > 100
    for e in found:
        if e.broken:
            assert len(sqlglot.parse(e.broken, dialect="postgres")) == 1
        if e.type == QUERY:
            assert batch_query(e.broken).count("{batch}") == 1


def test_every_table_has_its_own_rule_names(project: Project) -> None:
    for table in project.contracts.values():
        by_rule(contract_expectations(table))
    for model in project.gold.values():
        by_rule(gold_expectations(model))


def test_batch_query_resolves_relations_and_keeps_own_ctes() -> None:
    sql = batch_query(
        "with big as (select order_id from staged) select big.order_id from big join ods.x on true",
        {"ods.x": "stage.silver__x__next"}.__getitem__,
    )
    tree = sqlglot.parse_one(sql.replace("{batch}", "stage.t"), dialect="postgres")
    assert [cte.alias for cte in tree.find_all(sqlglot.exp.CTE)] == ["staged", "big"]
    assert "stage.silver__x__next" in sql
    assert "ods.x" not in sql


def test_batch_query_escapes_what_format_and_sqlalchemy_would_read() -> None:
    sql = batch_query("select order_id from staged where order_id !~ '^[0-9]{32}$' or state = ':sp'")
    assert "{{32}}" in sql
    assert r"'\:sp'" in sql
    assert sql.format(batch="t").count("{32}") == 1


def test_batch_query_refuses_what_is_not_sql() -> None:
    with pytest.raises(ContractError):
        batch_query("select from where")
