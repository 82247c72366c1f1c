"""The gate, without servers: every kind of rule holds and breaks, errors block, no personal data gets out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse.compile.rules import contract_expectations
from lakehouse.contract import Column, ColumnType, Contract, GoldModel, Reference, Rule
from lakehouse.engine.session import Session, open_session
from lakehouse.home.pages import LocalPages
from lakehouse.quality.docs import DocsTarget
from lakehouse.quality.gate import (
    RuleResult,
    Subject,
    accounting_subject,
    agreement_subject,
    contract_subject,
    gold_subject,
    raw_subject,
    removed_subject,
    run_gate,
)
from lakehouse.quality.report import broken_rule

#: Planted in personal columns and nowhere else; may turn up nowhere.
MARKER = "Dona Florinda"
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session(None) as opened:
        opened.table("ods.shop_people", "select * from (values ('ana'), ('bia')) as t (person_id)")
        opened.table("gold.dim_date", "select date '2018-01-01' as calendar_date")
        yield opened


def column(name: str, sql_type: str = "text", **given: Any) -> Column:
    return Column(name=name, source_name=name, type=ColumnType(sql_type), description=name, **given)


COLUMNS = (
    column("order_id", key_position=1, required=True),
    column("item", "smallint", key_position=2, required=True),
    column("person_id", references=Reference("shop_people", "person_id")),
    column("state"),
    column("price", "integer"),
    column("bought_at", "timestamp"),
    column("note", pii="personal"),
)
GOOD = ("a", 1, "ana", "SP", 5, "2017-01-01 10:30:00", "fine")


def contract(*rules: Rule, columns: tuple[Column, ...] = COLUMNS, **given: Any) -> Contract:
    return Contract(
        source="shop",
        name="items",
        file_name="items.csv",
        description="",
        grain="one row per item",
        version="1.0.0",
        columns=columns,
        rules=rules,
        **given,
    )


def relation_of(session: Session, columns: dict[str, str], *rows: tuple[Any, ...]) -> str:
    """A new relation with these rows."""
    relation = f"staged__{next(_NUMBERS)}"
    session.values(relation, columns, rows)
    return relation


def stage(session: Session, *rows: tuple[Any, ...]) -> str:
    """A new staged relation with these rows (the columns of COLUMNS)."""
    return relation_of(session, {c.name: c.type.sql for c in COLUMNS}, *rows)


def gate(session: Session, *subjects: Subject, docs: DocsTarget | None = None) -> dict[str, RuleResult]:
    results = run_gate(
        session, subjects, layer="silver", partition_key="2018-01-01", source="shop", docs=docs
    )
    return {r.rule: r for r in results}


def changed(**values: Any) -> tuple[Any, ...]:
    """A good row with other values."""
    return tuple(values.get(c.name, good) for c, good in zip(COLUMNS, GOOD, strict=True))


NOT_NULL = Rule("r", "not_null", "hard", ("state",))
ACCEPTED = Rule("r", "accepted_values", "hard", ("state",), {"values": ["SP", "RJ", "d'Oeste"]})
ACCEPTED_NUMBERS = Rule("r", "accepted_values", "hard", ("price",), {"values": [5, 6]})
RANGE = Rule("r", "range", "hard", ("price",), {"minimum": 0, "maximum": 10})
RANGE_OF_TIMES = Rule(
    "r", "range", "hard", ("bought_at",), {"minimum": "2016-01-01", "maximum": "2030-01-01"}
)
PATTERN = Rule("r", "pattern", "hard", ("order_id",), {"pattern": "^[a-z]{1,2}$"})
UNIQUE = Rule("r", "unique", "hard", ("state",))
UNIQUE_PAIR = Rule("r", "unique", "hard", ("state", "price"))
ROW_COUNT = Rule("r", "row_count", "hard", (), {"minimum": 2})
FOREIGN_KEY = Rule("r", "foreign_key", "hard", ("state",), {"table": "shop_people", "column": "person_id"})
SQL = Rule(
    "r",
    "sql",
    "hard",
    (),
    {
        "query": "select order_id, item from staged "
        "where regexp_matches(note, '^[0-9]{3}%') or state = ':x' -- or ?"
    },
)
BY_KIND = [
    # rule, a row beside GOOD that keeps it, one that breaks it, keys of the broken rows
    (NOT_NULL, changed(item=2), changed(item=2, state=None), ("order_id=a, item=2",)),
    (ACCEPTED, changed(item=2, state="d'Oeste"), changed(item=2, state="XX"), ("order_id=a, item=2",)),
    (ACCEPTED, changed(item=2, state=None), changed(item=2, state=""), ("order_id=a, item=2",)),
    (ACCEPTED_NUMBERS, changed(item=2, price=6), changed(item=2, price=7), ("order_id=a, item=2",)),
    (RANGE, changed(item=2, price=0), changed(item=2, price=-1), ("order_id=a, item=2",)),
    (RANGE, changed(item=2, price=10), changed(item=2, price=11), ("order_id=a, item=2",)),
    (
        RANGE_OF_TIMES,
        changed(item=2, bought_at="2016-01-01"),
        changed(item=2, bought_at="2015-12-31 23:59:59"),
        ("order_id=a, item=2",),
    ),
    (PATTERN, changed(order_id="zz"), changed(order_id="zzz"), ("order_id=zzz, item=1",)),
    (UNIQUE, changed(item=2, state="RJ"), changed(item=2), ()),
    (UNIQUE_PAIR, changed(item=2, price=6), changed(item=2), ()),
    (FOREIGN_KEY, changed(item=2, state="bia"), changed(item=2, state="eva"), None),
    (SQL, changed(item=2, note="99 %"), changed(item=2, note="123%"), ("order_id=a, item=2",)),
    (SQL, changed(item=2, state="x"), changed(item=2, state=":x"), ("order_id=a, item=2",)),
]


@pytest.mark.parametrize(("rule", "kept", "broken", "keys"), BY_KIND)
def test_every_kind_of_rule_holds_and_breaks(
    session: Session, rule: Rule, kept: tuple[Any, ...], broken: tuple[Any, ...], keys: tuple[str, ...] | None
) -> None:
    good = changed(state="ana") if rule is FOREIGN_KEY else GOOD
    held = gate(session, contract_subject(contract(rule), stage(session, good, kept)))
    assert [r.rule for r in held.values() if not r.success] == []
    assert held["r"].checked_rows == 2
    result = gate(session, contract_subject(contract(rule), stage(session, good, broken)))["r"]
    assert (result.success, result.failed_rows, result.severity) == (False, 1, "hard")
    assert result.error is None
    if keys is not None:
        assert result.sample_keys == keys


def test_row_count(session: Session) -> None:
    assert gate(session, contract_subject(contract(ROW_COUNT), stage(session, GOOD, changed(item=2))))[
        "r"
    ].success
    assert not gate(session, contract_subject(contract(ROW_COUNT), stage(session, GOOD)))["r"].success


def test_key_required_columns_and_references_without_being_written_down(session: Session) -> None:
    rows = stage(session, GOOD, GOOD, changed(item=None), changed(item=3, person_id="eva"), changed(item=4))
    results = gate(session, contract_subject(contract(), rows))
    assert {r.rule for r in results.values() if not r.success} == {
        "key_is_unique",
        "item_is_given",
        "person_id_exists_in_shop_people",
    }
    assert results["key_is_unique"].sample_keys == ("order_id=a, item=1",)
    assert results["person_id_exists_in_shop_people"].sample_keys == ("order_id=a, item=3",)


def test_a_missing_reference_value_is_not_a_broken_reference(session: Session) -> None:
    results = gate(session, contract_subject(contract(), stage(session, changed(person_id=None))))
    assert results["person_id_exists_in_shop_people"].success


def test_empty_rows_block_unless_declared_allowed(session: Session) -> None:
    blocked = gate(session, contract_subject(contract(), stage(session)))
    assert [r.rule for r in blocked.values() if r.blocks] == ["has_rows"]
    allowed = gate(session, contract_subject(contract(allow_empty=True), stage(session)))
    assert all(r.success for r in allowed.values())


def test_a_soft_rule_warns_and_does_not_block(session: Session) -> None:
    soft = replace(ACCEPTED, severity="soft")
    result = gate(session, contract_subject(contract(soft), stage(session, changed(state="XX"))))["r"]
    assert (result.success, result.severity, result.blocks) == (False, "soft", False)
    assert "soft rule r is broken by 1 of 1 row, allowed: none" in str(broken_rule(result, "silver", "none"))


@pytest.mark.parametrize(
    "query",
    [
        "select nope from staged",
        "select order_id from ods.nowhere",
        "select order_id from staged where cast(state as integer) > 1",
        "select order_id from staged where error(state) is null",
        "select from where",
        "select 1; select 2",
    ],
)
def test_a_rule_that_cannot_be_evaluated_blocks_even_when_soft(session: Session, query: str) -> None:
    broken = Rule("r", "sql", "soft", (), {"query": query})
    result = gate(session, contract_subject(contract(broken), stage(session, GOOD)))["r"]
    assert result.blocks
    assert result.error
    assert "could not be evaluated" in str(broken_rule(result, "silver", "none"))


def test_a_broken_rule_takes_no_other_rule_with_it(session: Session) -> None:
    broken = Rule("r", "sql", "hard", (), {"query": "select nope from staged"})
    results = gate(session, contract_subject(contract(broken), stage(session, GOOD)))
    assert [r.rule for r in results.values() if not r.success] == ["r"]


def test_a_missing_column_blocks(session: Session) -> None:
    wider = contract(columns=(*COLUMNS, column("forgotten", required=True)))
    results = gate(session, contract_subject(wider, stage(session, GOOD)))
    assert results["forgotten_is_given"].blocks
    assert "forgotten" in str(results["forgotten_is_given"].error)


def test_a_missing_relation_blocks_every_rule(session: Session) -> None:
    subject = contract_subject(contract(), "staged__nowhere")
    results = gate(session, subject)
    assert len(results) == len(subject.expectations)
    assert all(r.blocks for r in results.values())


def test_a_closed_session_is_an_error_not_a_verdict() -> None:
    with open_session(None) as closed:
        relation = stage(closed, GOOD)
    with pytest.raises(duckdb.ConnectionException):
        gate(closed, contract_subject(contract(), relation))


def test_the_session_stays_open(session: Session) -> None:
    relation = stage(session, GOOD)
    gate(session, contract_subject(contract(), relation))
    assert session.value(f"select count(*) from {relation}") == 1


def test_nothing_is_left_in_the_session(session: Session) -> None:
    relation = stage(session, GOOD)
    before = session.rows(
        "select schema_name, table_name from duckdb_tables() union all "
        "select schema_name, view_name from duckdb_views() order by 1, 2"
    )
    gate(session, contract_subject(contract(UNIQUE), relation))
    assert before == session.rows(
        "select schema_name, table_name from duckdb_tables() union all "
        "select schema_name, view_name from duckdb_views() order by 1, 2"
    )


def test_the_message_names_table_rule_counts_and_keys(session: Session) -> None:
    rows = [changed(item=n, state="XX") for n in range(1, 9)]
    results = gate(session, contract_subject(contract(ACCEPTED), stage(session, changed(item=99), *rows)))
    message = str(broken_rule(results["r"], "silver", "none"))
    assert "shop_items: hard rule r is broken by 8 of 9 rows" in message
    assert "order_id=a, item=1, order_id=a, item=2" in message
    assert len(results["r"].sample_keys) == 5
    assert "XX" not in message


def test_results_come_in_the_order_of_the_rules(session: Session) -> None:
    subject = contract_subject(contract(ACCEPTED), stage(session, GOOD))
    assert list(gate(session, subject)) == [e.rule for e in subject.expectations]


def test_a_view_is_a_relation_too(session: Session) -> None:
    rows = stage(session, GOOD, changed(item=2, state="XX"))
    session.view("staged__view", f"select * from {rows} where item = 2")
    result = gate(session, contract_subject(contract(ACCEPTED), "staged__view"))["r"]
    assert (result.checked_rows, result.failed_rows) == (1, 1)


def test_a_query_may_have_its_own_names_and_end_in_a_comment(session: Session) -> None:
    query = (
        "with big as (select order_id, item from staged where price > 5) "
        "select big.order_id, big.item from big inner join ods.shop_people as p on p.person_id = 'ana'; -- big"
    )
    rule = Rule("r", "sql", "hard", (), {"query": query.replace(";", "")})
    result = gate(session, contract_subject(contract(rule), stage(session, GOOD, changed(item=2, price=6))))
    assert result["r"].sample_keys == ("order_id=a, item=2",)


def test_rows_that_go_must_not_be_missed(session: Session) -> None:
    people = Contract(
        source="shop",
        name="people",
        file_name="people.csv",
        description="",
        grain="one row per person",
        version="1.0.0",
        columns=(column("person_id", key_position=1, required=True),),
        rules=(),
    )
    session.table("ods.shop_items", "select 'eva' as person_id")
    gone = relation_of(session, {"person_id": "text"}, ("eva",), ("ida",))
    subject = removed_subject(people, gone, [contract(), people])
    assert subject.table == "shop_people.removed"
    result = gate(session, subject)["person_id_is_not_missed_by_shop_items_person_id"]
    assert (result.blocks, result.checked_rows, result.sample_keys) == (True, 2, ("person_id=eva",))
    assert gate(session, removed_subject(people, gone, [people])) == {}


def test_personal_values_reach_neither_results_nor_pages(session: Session, tmp_path: Path) -> None:
    everything = [
        Rule("accepted", "accepted_values", "hard", ("note",), {"values": ["fine"]}),
        Rule("pattern", "pattern", "hard", ("note",), {"pattern": "^[a-z]+$"}),
        Rule("unique", "unique", "soft", ("note",)),
        Rule("selected", "sql", "soft", (), {"query": "select note from staged"}),
        Rule("renamed", "sql", "soft", (), {"query": "select note as order_note from staged"}),
        Rule("starred", "sql", "soft", (), {"query": "select * from staged"}),
        Rule("cast", "sql", "hard", (), {"query": "select order_id from staged where note::integer > 1"}),
        Rule("raised", "sql", "hard", (), {"query": "select order_id from staged where error(note) is null"}),
        Rule("length", "range", "hard", ("price",), {"maximum": 1}),
    ]
    keyed = (*COLUMNS[:-1], column("note", pii="personal", key_position=3))
    docs = DocsTarget(LocalPages(tmp_path), Path(__file__).resolve().parents[2] / "great_expectations")
    rows = stage(session, changed(note=MARKER), changed(note=MARKER))
    results = gate(session, contract_subject(contract(*everything, columns=keyed), rows), docs=docs)
    assert not any(results[r.name].success for r in everything)
    assert MARKER not in repr(results)
    assert "order_id=a, item=1, note=***" in results["length"].sample_keys
    assert results["cast"].error == "ConversionException"
    assert results["raised"].error == "InvalidInputException"
    written = [p for p in tmp_path.rglob("*") if p.suffix in (".html", ".json")]
    assert len(written) >= 3
    for path in written:
        assert MARKER not in path.read_text(encoding="utf-8"), path


def test_raw_rows(session: Session) -> None:
    rows = relation_of(session, {"_source_line": "bigint", "state": "text"}, (2, ""))
    assert all(r.success for r in gate(session, raw_subject(contract(), rows)).values())
    lost = relation_of(session, {"_source_line": "bigint", "state": "text"}, (None, ""))
    assert [r.rule for r in gate(session, raw_subject(contract(), lost)).values() if r.blocks] == [
        "_source_line_is_given"
    ]


def model(*rules: Rule) -> GoldModel:
    return GoldModel(
        source="shop",
        name="kpi",
        description="",
        grain="one row per day",
        version="1.0.0",
        columns=(
            column("day", "date", key_position=1, references=Reference("dim_date", "calendar_date")),
            column("orders", "integer", required=True),
            column("best_customer", pii="personal"),
        ),
        rules=rules,
        unit="all",
        scope=None,
        sql="",
    )


def test_gold_rows(session: Session) -> None:
    columns = {"day": "date", "orders": "integer", "best_customer": "text"}
    not_negative = Rule(
        "not_negative", "sql", "hard", (), {"query": "select day from staged where orders < 0"}
    )
    good = relation_of(session, columns, ("2018-01-01", 1, None))
    assert all(r.success for r in gate(session, gold_subject(model(not_negative), good)).values())
    bad = relation_of(
        session,
        columns,
        ("2018-01-01", 1, "x"),
        ("2018-01-01", -1, "x"),
        ("2018-01-02", None, "x"),
        (None, 1, "x"),
    )
    results = gate(session, gold_subject(model(not_negative), bad))
    assert {r.rule: r.sample_keys for r in results.values() if r.blocks} == {
        "day_is_given": ("day=None",),
        "orders_is_given": ("day=2018-01-02",),
        "key_is_unique": ("day=2018-01-01",),
        "day_exists_in_dim_date": ("day=2018-01-02",),
        "not_negative": ("day=2018-01-01",),
    }


def test_a_recomputation_without_rows_warns(session: Session) -> None:
    empty = relation_of(session, {"day": "date", "orders": "integer", "best_customer": "text"})
    results = gate(session, gold_subject(model(), empty))
    assert [(r.rule, r.blocks) for r in results.values() if not r.success] == [("has_rows", False)]


ACCOUNTS = {
    "table_name": "text",
    "batch_id": "text",
    "read_rows": "bigint",
    "published_rows": "bigint",
    "quarantined_rows": "bigint",
    "duplicate_rows": "bigint",
    "conflicting_rows": "bigint",
    "tolerance": "double precision",
}


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([("t", 100, 98, 1, 1, 0, 0.01)], set()),
        ([("t", 100, 97, 1, 1, 0, 0.01)], {"every_row_is_accounted_for"}),
        ([("t", 100, None, 1, 1, 0, 0.01)], {"every_row_is_accounted_for"}),
        ([("t", 100, 101, 0, -1, 0, 0.01)], {"every_row_is_accounted_for"}),
        ([("t", 100, 98, 2, 0, 0, 0.01)], {"quarantine_is_within_tolerance"}),
        ([("t", 100, 99, 1, 0, 0, None)], {"quarantine_is_within_tolerance"}),
        ([("t", 0, 0, 0, 0, 0, 0)], {"input_is_not_empty"}),
        (
            [("t", None, 0, 0, 0, 0, 0)],
            {"every_row_is_accounted_for", "quarantine_is_within_tolerance", "input_is_not_empty"},
        ),
        ([("empty", 0, 0, 0, 0, 0, 0)], set()),
        ([("t", 0, 0, 0, 0, 0, 0), ("t", 1, 1, 0, 0, 0, 0)], set()),
        ([("t", 1, 1, 0, 0, 0, 0), ("u", 5, 4, 0, 0, 0, 0)], {"every_row_is_accounted_for"}),
        ([("t", 5, 4, 0, 0, 0, 0), ("t", 4, 5, 0, 0, 0, 0)], {"every_row_is_accounted_for"}),
        ([("t", 100, 97, 1, 1, 1, 0.01)], set()),
        ([("t", 100, 98, 1, 1, 1, 0.01)], {"every_row_is_accounted_for"}),
        ([], {"tables_are_counted"}),
    ],
)
def test_every_row_is_accounted_for(session: Session, rows: list[tuple[Any, ...]], broken: set[str]) -> None:
    counted = [(table, f"b{n}", *figures) for n, (table, *figures) in enumerate(rows)]
    results = gate(session, accounting_subject(relation_of(session, ACCOUNTS, *counted), ["empty"]))
    assert {r.rule for r in results.values() if r.blocks} == broken
    conflicts = any(len(row) > 5 and row[5] for row in rows)
    assert (not results["rows_of_a_key_agree"].success) == conflicts
    if broken == {"every_row_is_accounted_for"} and rows[-1][0] == "u":
        assert results["every_row_is_accounted_for"].sample_keys == ("table_name=u, batch_id=b1",)


AGREEMENT = {
    "table_name": "text",
    "part": "text",
    "warehouse_rows": "bigint",
    "lake_rows": "bigint",
    "warehouse_hash": "text",
    "lake_hash": "text",
}


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([("t", "changed", 5, 5, "x", "x"), ("t", "carried", 0, 0, "0", "0")], set()),
        ([("t", "changed", 5, 4, "x", "x")], {"homes_agree"}),
        ([("t", "changed", 5, 5, "x", "y")], {"homes_agree"}),
        ([("t", "changed", 5, 5, "x", "x"), ("t", "carried", 5, 5, "x", None)], {"homes_agree"}),
        ([("t", "changed", 5, 5, None, None)], {"homes_agree"}),
        ([("t", "changed", None, None, "x", "x")], {"homes_agree"}),
        ([], {"homes_are_compared"}),
    ],
)
def test_both_homes_agree(session: Session, rows: list[tuple[Any, ...]], broken: set[str]) -> None:
    results = gate(session, agreement_subject(relation_of(session, AGREEMENT, *rows)))
    assert {r.rule for r in results.values() if r.blocks} == broken
    if rows and broken:
        (named,) = results["homes_agree"].sample_keys
        _, part, in_warehouse, in_lake, *_ = rows[-1]
        assert named == f"table_name=t, part={part}, warehouse_rows={in_warehouse}, lake_rows={in_lake}"


def test_every_expectation_of_a_subject_gets_a_result(session: Session) -> None:
    table = contract(ACCEPTED, columns=COLUMNS)
    assert len(gate(session, contract_subject(table, stage(session, GOOD)))) == len(
        contract_expectations(table)
    )
