"""Contracts become expectations; queries become what Great Expectations takes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot

from lakehouse.compile.refs import parse
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
    removal_expectations,
)
from lakehouse.contract import Column, ColumnType, Contract, GoldModel, Project, Reference, Rule

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


def model(*rules: Rule, columns: tuple[Column, ...] = (), **given: Any) -> GoldModel:
    return GoldModel(
        source="shop",
        name="kpi",
        description="",
        grain="One row per day.",
        version="1.0.0",
        columns=(column("day", key_position=1), *columns),
        rules=rules,
        unit="all",
        scope=None,
        sql="",
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


def test_computed_tables_keep_what_landed_ones_keep() -> None:
    person = column("person_id", required=True, references=Reference("dim_person", "person_id"))
    rules = by_rule(gold_expectations(model(columns=(person, column("note")))))
    assert list(rules) == [
        "has_rows",
        "day_is_given",
        "person_id_is_given",
        "key_is_unique",
        "person_id_exists_in_dim_person",
    ]
    assert {name for name, e in rules.items() if e.severity == "hard"} == rules.keys() - {"has_rows"}
    assert "gold.dim_person" in rules["person_id_exists_in_dim_person"].broken
    assert rules["key_is_unique"].description == "Grain: One row per day."


@pytest.mark.parametrize(("table", "schema"), [(contract, "ods"), (model, "gold")])
def test_a_written_reference_is_looked_up_where_the_table_is(table: Any, schema: str) -> None:
    rule = Rule("written", "foreign_key", "soft", ("state",), {"table": "states", "column": "code"})
    made = table(rule, columns=(column("state"),))
    found = by_rule((gold_expectations if schema == "gold" else contract_expectations)(made))["written"]
    assert found.severity == "soft"
    assert f"{schema}.states" in found.broken


def test_rows_that_others_point_to_are_missed() -> None:
    child = contract(columns=(column("parent_id", references=Reference("shop_orders", "order_id", "soft")),))
    (found,) = removal_expectations(contract(), [child])
    assert found.rule == "order_id_is_not_missed_by_shop_orders_parent_id"
    assert found.severity == "soft"
    assert removal_expectations(contract(), [contract()]) == ()


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
    assert bool(found.condition) == (gx_type in (NOT_NULL, IN_SET, BETWEEN, REGEX))
    if found.condition:
        assert found.broken == f"select order_id from staged where {found.condition}"


def test_a_rule_on_several_columns_is_a_rule_on_each() -> None:
    rule = Rule("written", "not_null", "hard", ("state", "city"))
    rules = by_rule(contract_expectations(contract(rule, columns=(column("state"), column("city")))))
    assert rules["written:city"].condition == "city is null"


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
    assert len(found) > 300
    for e in found:
        if e.broken:
            assert parse(e.broken).find(sqlglot.exp.From) is not None
            assert batch_query(e.broken).count("{batch}") == 1
        else:
            assert e.type == ROW_COUNT


def test_every_table_has_its_own_rule_names(project: Project) -> None:
    for table in project.contracts.values():
        by_rule(contract_expectations(table))
    for model in project.gold.values():
        by_rule(gold_expectations(model))


def test_batch_query_keeps_own_names_and_comments() -> None:
    sql = batch_query(
        "with big as (select order_id from staged) select big.order_id from big join ods.x on true; "
    )
    tree = sqlglot.parse_one(sql.replace("{batch}", "staged__t"), dialect="duckdb")
    assert [cte.alias for cte in tree.find_all(sqlglot.exp.CTE)] == ["staged", "big"]
    assert "ods.x" in sql
    commented = batch_query("select order_id from staged -- all").format(batch="t")
    assert [
        s.alias for s in sqlglot.parse_one(commented, dialect="duckdb").find_all(sqlglot.exp.Subquery)
    ] == ["broken"]


def test_batch_query_escapes_what_format_and_sqlalchemy_would_read() -> None:
    sql = batch_query(
        "select order_id from staged where regexp_matches(order_id, '^[0-9]{32}$') or state = ':sp'"
    )
    assert "{{32}}" in sql
    assert r"'\:sp'" in sql
    assert sql.format(batch="t").count("{32}") == 1
