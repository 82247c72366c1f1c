"""The gate on a real Postgres: every kind of rule holds and breaks, errors block, no PII gets out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from lakehouse.compile.rules import contract_expectations
from lakehouse.contract import Column, ColumnType, Contract, GoldModel, Reference, Rule
from lakehouse.layer.docs import DocsTarget
from lakehouse.layer.gate import (
    RuleResult,
    Subject,
    accounting_subject,
    agreement_subject,
    contract_subject,
    failure_message,
    gold_subject,
    raw_subject,
    run_gate,
)
from lakehouse.stack import postgres
from lakehouse.stack.postgres import LOADER, PostgresServer

pytestmark = pytest.mark.servers

#: Planted in personal columns and nowhere else; may turn up nowhere.
MARKER = "Dona Florinda"
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def engine(pg_server: PostgresServer) -> Iterator[Engine]:
    database = f"gate_{uuid.uuid4().hex[:12]}"
    postgres.create_database(pg_server, database, LOADER)
    url = make_url(pg_server.dsn(LOADER, database)).set(drivername="postgresql+psycopg2")
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.exec_driver_sql(
            """
            create schema stage; create schema ods; create schema gold;
            create table ods.shop_people (person_id text);
            insert into ods.shop_people values ('ana'), ('bia');
            """
        )
    yield engine
    engine.dispose()
    postgres.drop_database(pg_server, database)


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


def stage(engine: Engine, *rows: tuple[Any, ...]) -> str:
    """A new staged relation with these rows (the columns of COLUMNS)."""
    relation = f"stage.t{uuid.uuid4().hex[:12]}"
    with engine.begin() as conn:
        conn.exec_driver_sql(
            f"create table {relation} (order_id text, item smallint, person_id text, state text, "
            "price integer, bought_at timestamp, note text)"
        )
        for row in rows:
            conn.exec_driver_sql(f"insert into {relation} values (%s, %s, %s, %s, %s, %s, %s)", row)
    return relation


def gate(engine: Engine, *subjects: Subject, docs: DocsTarget | None = None) -> dict[str, RuleResult]:
    results = run_gate(
        engine,
        subjects,
        layer="silver",
        partition_key="2018-01-01",
        source="shop",
        resolve=lambda name: name,
        docs=docs,
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
    {"query": "select order_id, item from staged where note ~ '^[0-9]{3}%' or state = ':x'"},
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
    engine: Engine, rule: Rule, kept: tuple[Any, ...], broken: tuple[Any, ...], keys: tuple[str, ...] | None
) -> None:
    good = changed(state="ana") if rule is FOREIGN_KEY else GOOD
    held = gate(engine, contract_subject(contract(rule), stage(engine, good, kept)))
    assert [r.rule for r in held.values() if not r.success] == []
    assert held["r"].checked_rows == 2
    result = gate(engine, contract_subject(contract(rule), stage(engine, good, broken)))["r"]
    assert (result.success, result.failed_rows, result.severity) == (False, 1, "hard")
    assert result.error is None
    if keys is not None:
        assert result.sample_keys == keys


def test_row_count(engine: Engine) -> None:
    assert gate(engine, contract_subject(contract(ROW_COUNT), stage(engine, GOOD, changed(item=2))))[
        "r"
    ].success
    assert not gate(engine, contract_subject(contract(ROW_COUNT), stage(engine, GOOD)))["r"].success


def test_key_required_columns_and_references_without_being_written_down(engine: Engine) -> None:
    rows = stage(engine, GOOD, GOOD, changed(item=None), changed(item=3, person_id="eva"), changed(item=4))
    results = gate(engine, contract_subject(contract(), rows))
    assert {r.rule for r in results.values() if not r.success} == {
        "key_is_unique",
        "item_is_given",
        "person_id_exists_in_shop_people",
    }
    assert results["key_is_unique"].sample_keys == ("order_id=a, item=1",)
    assert results["person_id_exists_in_shop_people"].sample_keys == ("order_id=a, item=3",)


def test_a_missing_reference_value_is_not_a_broken_reference(engine: Engine) -> None:
    results = gate(engine, contract_subject(contract(), stage(engine, changed(person_id=None))))
    assert results["person_id_exists_in_shop_people"].success


def test_empty_rows_block_unless_declared_allowed(engine: Engine) -> None:
    blocked = gate(engine, contract_subject(contract(), stage(engine)))
    assert [r.rule for r in blocked.values() if r.blocks] == ["has_rows"]
    allowed = gate(engine, contract_subject(contract(allow_empty=True), stage(engine)))
    assert all(r.success for r in allowed.values())


def test_a_soft_rule_warns_and_does_not_block(engine: Engine) -> None:
    soft = replace(ACCEPTED, severity="soft")
    result = gate(engine, contract_subject(contract(soft), stage(engine, changed(state="XX"))))["r"]
    assert (result.success, result.severity, result.blocks) == (False, "soft", False)
    assert failure_message([result]) == ""
    assert "soft rule r" in failure_message([result], warnings_too=True)


@pytest.mark.parametrize(
    "query",
    [
        "select nope from staged",
        "select order_id from ods.nowhere",
        "select order_id from staged where price / 0 > 1",
        "select from where",
    ],
)
def test_a_rule_that_cannot_be_evaluated_blocks_even_when_soft(engine: Engine, query: str) -> None:
    broken = Rule("r", "sql", "soft", (), {"query": query})
    result = gate(engine, contract_subject(contract(broken), stage(engine, GOOD)))["r"]
    assert result.blocks
    assert result.error
    assert "could not be evaluated" in failure_message([result])


def test_a_broken_rule_takes_no_other_rule_with_it(engine: Engine) -> None:
    broken = Rule("r", "sql", "hard", (), {"query": "select nope from staged"})
    results = gate(engine, contract_subject(contract(broken), stage(engine, GOOD)))
    assert [r.rule for r in results.values() if not r.success] == ["r"]


def test_a_missing_column_blocks(engine: Engine) -> None:
    wider = contract(columns=(*COLUMNS, column("forgotten", required=True)))
    results = gate(engine, contract_subject(wider, stage(engine, GOOD)))
    assert results["forgotten_is_given"].blocks
    assert "forgotten" in str(results["forgotten_is_given"].error)


def test_a_missing_relation_blocks_every_rule(engine: Engine) -> None:
    subject = contract_subject(contract(), "stage.nowhere")
    results = gate(engine, subject)
    assert len(results) == len(subject.expectations)
    assert all(r.blocks for r in results.values())


def test_an_unreachable_warehouse_is_an_error_not_a_verdict() -> None:
    nowhere = create_engine("postgresql+psycopg2://nobody:x@127.0.0.1:1/nothing")
    with pytest.raises(OperationalError):
        gate(nowhere, contract_subject(contract(), "stage.t"))


def test_the_message_names_table_rule_counts_and_keys(engine: Engine) -> None:
    rows = [changed(item=n, state="XX") for n in range(1, 9)]
    results = gate(engine, contract_subject(contract(ACCEPTED), stage(engine, changed(item=99), *rows)))
    message = failure_message(list(results.values()))
    assert "shop_items: hard rule r is broken by 8 of 9 rows" in message
    assert "order_id=a, item=1, order_id=a, item=2" in message
    assert len(results["r"].sample_keys) == 5
    assert "XX" not in message


def test_results_come_in_the_order_of_the_rules(engine: Engine) -> None:
    subject = contract_subject(contract(ACCEPTED), stage(engine, GOOD))
    assert list(gate(engine, subject)) == [e.rule for e in subject.expectations]


def test_other_relations_are_resolved(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.exec_driver_sql("drop table if exists stage.people_next")
        conn.exec_driver_sql("create table stage.people_next as select 'eva' as person_id")
    subject = contract_subject(contract(), stage(engine, changed(person_id="eva")))
    names = []

    def resolve(name: str) -> str:
        names.append(name)
        return "stage.people_next"

    results = run_gate(engine, [subject], layer="silver", partition_key="x", source="shop", resolve=resolve)
    assert all(r.success for r in results)
    assert set(names) == {"ods.shop_people"}


def test_a_query_in_parentheses_is_a_relation_too(engine: Engine) -> None:
    rows = stage(engine, GOOD, changed(item=2, state="XX"))
    subject = contract_subject(contract(ACCEPTED), f"(select * from {rows} where item = 2)")
    result = gate(engine, subject)["r"]
    assert (result.checked_rows, result.failed_rows) == (1, 1)


def test_personal_values_reach_neither_results_nor_pages(engine: Engine, tmp_path: Path) -> None:
    everything = [
        Rule("accepted", "accepted_values", "hard", ("note",), {"values": ["fine"]}),
        Rule("pattern", "pattern", "hard", ("note",), {"pattern": "^[a-z]+$"}),
        Rule("unique", "unique", "soft", ("note",)),
        Rule("selected", "sql", "soft", (), {"query": "select note from staged"}),
        Rule("renamed", "sql", "soft", (), {"query": "select note as order_note from staged"}),
        Rule("starred", "sql", "soft", (), {"query": "select * from staged"}),
        Rule("cast", "sql", "hard", (), {"query": "select order_id from staged where note::integer > 1"}),
        Rule("length", "range", "hard", ("price",), {"maximum": 1}),
    ]
    keyed = (*COLUMNS[:-1], column("note", pii="personal", key_position=3))
    docs = DocsTarget(tmp_path / "great_expectations")
    rows = stage(engine, changed(note=MARKER), changed(note=MARKER))
    results = gate(engine, contract_subject(contract(*everything, columns=keyed), rows), docs=docs)
    assert not any(results[r.name].success for r in everything)
    assert MARKER not in repr(results)
    assert "order_id=a, item=1, note=***" in results["length"].sample_keys
    assert "InvalidTextRepresentation" in str(results["cast"].error)
    written = [p for p in tmp_path.rglob("*") if p.suffix in (".html", ".json")]
    assert len(written) >= 3
    for path in written:
        assert MARKER not in path.read_text(encoding="utf-8"), path


def test_raw_rows(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.exec_driver_sql("drop table if exists stage.raw_items")
        conn.exec_driver_sql("create table stage.raw_items as select 2::bigint as _source_line, '' as state")
    assert all(r.success for r in gate(engine, raw_subject(contract(), "stage.raw_items")).values())


def test_gold_rows(engine: Engine) -> None:
    model = GoldModel(
        table="kpi",
        source="shop",
        description="",
        grain="one row per day",
        key=("day",),
        affected_by="all",
        scope=None,
        columns={"day": "", "orders": ""},
        pii={},
        references={},
        rules=(
            Rule("not_negative", "sql", "hard", (), {"query": "select day from staged where orders < 0"}),
        ),
        sql="",
    )
    with engine.begin() as conn:
        conn.exec_driver_sql("drop table if exists stage.kpi")
        conn.exec_driver_sql(
            "create table stage.kpi as "
            "select date '2018-01-01' as day, n as orders from (values (1), (-1)) v (n)"
        )
    results = gate(engine, gold_subject(model, "stage.kpi"))
    assert {r.rule for r in results.values() if r.blocks} == {"key_is_unique", "not_negative"}
    assert results["not_negative"].sample_keys == ("day=2018-01-01",)


def accounts(engine: Engine, values: str) -> str:
    relation = f"stage.a{uuid.uuid4().hex[:12]}"
    with engine.begin() as conn:
        conn.exec_driver_sql(
            f"create table {relation} (table_name text, read_rows bigint, published_rows bigint, "
            "quarantined_rows bigint, duplicate_rows bigint, tolerance double precision)"
        )
        if values:
            conn.exec_driver_sql(f"insert into {relation} values {values}")
    return relation


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ("('t', 100, 98, 1, 1, 0.01)", set()),
        ("('t', 100, 97, 1, 1, 0.01)", {"every_row_is_accounted_for"}),
        ("('t', 100, null, 1, 1, 0.01)", {"every_row_is_accounted_for"}),
        ("('t', 100, 101, 0, -1, 0.01)", {"every_row_is_accounted_for"}),
        ("('t', 100, 98, 2, 0, 0.01)", {"quarantine_is_within_tolerance"}),
        ("('t', 100, 99, 1, 0, null)", {"quarantine_is_within_tolerance"}),
        ("('t', 0, 0, 0, 0, 0)", {"input_is_not_empty"}),
        ("('empty', 0, 0, 0, 0, 0)", set()),
        ("('t', 1, 1, 0, 0, 0), ('u', 5, 4, 0, 0, 0)", {"every_row_is_accounted_for"}),
        ("", {"tables_are_counted"}),
    ],
)
def test_every_row_is_accounted_for(engine: Engine, values: str, broken: set[str]) -> None:
    results = gate(engine, accounting_subject(accounts(engine, values), ["empty"]))
    assert {r.rule for r in results.values() if r.blocks} == broken
    if broken == {"every_row_is_accounted_for"} and "'u'" in values:
        assert results["every_row_is_accounted_for"].sample_keys == ("table_name=u",)


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ("('t', 'row_count', '5', '5'), ('t', 'price', 'x', 'x'), ('t', 'note', null, null)", set()),
        ("('t', 'row_count', '5', '4')", {"homes_agree"}),
        ("('t', 'row_count', '5', '5'), ('t', 'price', 'x', null)", {"homes_agree"}),
        ("('t', 'price', 'x', 'x')", {"homes_count_rows"}),
        ("('t', 'row_count', null, null)", {"homes_count_rows"}),
    ],
)
def test_both_homes_agree(engine: Engine, values: str, broken: set[str]) -> None:
    relation = f"stage.g{uuid.uuid4().hex[:12]}"
    with engine.begin() as conn:
        conn.exec_driver_sql(
            f"create table {relation} "
            "(table_name text, column_name text, warehouse_value text, lake_value text)"
        )
        conn.exec_driver_sql(f"insert into {relation} values {values}")
    results = gate(engine, agreement_subject(relation))
    assert {r.rule for r in results.values() if r.blocks} == broken


def test_a_password_with_signs_that_mean_something_to_great_expectations(
    engine: Engine, pg_server: PostgresServer
) -> None:
    password = "a$b${c}%d@e:f/g\\h"
    role = f"r{uuid.uuid4().hex[:8]}"
    superuser = make_url(pg_server.superuser_dsn).set(
        drivername="postgresql+psycopg2", database=engine.url.database
    )
    admin = create_engine(superuser, isolation_level="AUTOCOMMIT")
    relation = stage(engine, GOOD)
    with admin.connect() as conn:
        conn.exec_driver_sql(f"create role {role} login superuser password '{password.replace('%', '%%')}'")
    other = create_engine(engine.url.set(username=role, password=password))
    try:
        assert all(r.success for r in gate(other, contract_subject(contract(), relation)).values())
    finally:
        other.dispose()
        with admin.connect() as conn:
            conn.exec_driver_sql(f"drop role {role}")
        admin.dispose()


def test_nothing_stays_connected(engine: Engine) -> None:
    relation = stage(engine, GOOD)
    engine.dispose()
    gate(engine, contract_subject(contract(), relation))
    with engine.connect() as conn:
        others = conn.exec_driver_sql(
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and backend_type = 'client backend'"
        ).scalar_one()
    assert others == 1


def test_every_expectation_of_a_subject_gets_a_result(engine: Engine) -> None:
    table = contract(ACCEPTED, columns=COLUMNS)
    assert len(gate(engine, contract_subject(table, stage(engine, GOOD)))) == len(
        contract_expectations(table)
    )
