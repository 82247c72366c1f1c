"""A partition that is published is worked out again when asked for: staged, audited, published, not rewritten."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.contract.model import LAYERS, Layer
from lakehouse.layer import flow
from lakehouse.layer.explain import explain
from lakehouse.layer.published import last_published

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture
def landed(loaded: Lakehouse) -> Lakehouse:
    """A loaded lakehouse whose delivery is in the landing zone, too."""
    loaded.land(small_shop())
    return loaded


def versions(lakehouse: Lakehouse) -> dict[str, Any]:
    """Every served row's physical version, and the lake's snapshots."""
    return {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}


def plan_again(lakehouse: Lakehouse, layer: Layer, day: str = DAY) -> tuple[str, ...]:
    return flow.plan(lakehouse.homes, lakehouse.project, lakehouse.source, layer, day, "partition")


def stage_again(lakehouse: Lakehouse, layer: Layer, table: str, day: str = DAY) -> dict[str, int]:
    return flow.stage(lakehouse.homes, lakehouse.project, lakehouse.source, layer, day, table, again=True)


def audited(lakehouse: Lakehouse) -> dict[tuple[str, str], int]:
    """How many rules have been held against each table. Where nothing is written, no homes are compared."""
    rows = lakehouse.query(
        "select layer, table_name, count(*) from ops.quality_result where table_name <> 'agreement' group by 1, 2"
    )
    return {(layer, table): count for layer, table, count in rows}


def finish(lakehouse: Lakehouse, layer: Layer, day: str = DAY) -> dict[str, Any]:
    lakehouse.stage(layer, day)
    lakehouse.gate(layer, day)
    return lakehouse.publish(layer, day)


def test_a_partition_is_rebuilt_in_every_layer_and_no_row_is_rewritten(landed: Lakehouse) -> None:
    loaded = landed
    before, rules = versions(loaded), audited(loaded)
    for layer in LAYERS:
        assert set(plan_again(loaded, layer)) == set(loaded.project.stage_order("olist", layer))
        event = finish(loaded, layer)
        assert event["rows_written"] == 0
        assert set(event["row_counts"]) == set(loaded.tables(layer))
    assert versions(loaded) == before
    assert {place: count / rules[place] for place, count in audited(loaded).items()} == dict.fromkeys(
        rules, 2
    )
    assert loaded.value("select count(*) from ops.open_partition") == 0


def test_rebuilding_an_older_partition_leaves_what_came_later(landed: Lakehouse) -> None:
    loaded, later = landed, small_shop(5)
    later.order(2)["order_status"] = "shipped"
    loaded.load(later.only_orders(2, 5), NEXT_DAY)
    before = versions(loaded)
    for layer in ("bronze", "silver"):
        plan_again(loaded, layer)
        finish(loaded, layer)
    assert versions(loaded) == before


@pytest.mark.parametrize(
    ("layer", "table"), [("bronze", "olist_orders"), ("silver", "olist_products"), ("gold", "kpi_daily")]
)
def test_one_table_of_a_published_run_is_made_again(landed: Lakehouse, layer: Layer, table: str) -> None:
    loaded = landed
    before, rules = versions(loaded), audited(loaded)
    assert stage_again(loaded, layer, table)["unchanged" if layer != "bronze" else "read"] > 0
    loaded.gate(layer)
    event = loaded.publish(layer)
    with_history = loaded.project.staged_with(table) if layer == "silver" else (table,)
    assert set(event["row_counts"]) == set(with_history)
    assert event["rows_written"] == 0
    assert versions(loaded) == before
    changed = {place for place, count in audited(loaded).items() if count != rules[place]}
    assert {name for _, name in changed if name in loaded.tables(layer)} == set(with_history)


def test_tables_that_are_asked_for_together_are_made_by_one_run(loaded: Lakehouse) -> None:
    runs = loaded.value("select count(*) from ops.run")
    for table in ("fact_order", "kpi_daily"):
        assert stage_again(loaded, "gold", table)
    loaded.gate("gold")
    assert set(loaded.publish("gold")["row_counts"]) == {"fact_order", "kpi_daily"}
    assert loaded.value("select count(*) from ops.run") == runs + 1


def test_one_gold_table_made_again_does_not_hide_from_the_others_what_silver_has_published(
    loaded: Lakehouse,
) -> None:
    loaded.load(small_shop(5), NEXT_DAY, upto="silver")
    stage_again(loaded, "gold", "kpi_daily")
    loaded.gate("gold")
    loaded.publish("gold")
    assert loaded.value("select count(*) from gold.fact_order") == 4
    loaded.run_layer("gold", NEXT_DAY)
    assert loaded.value("select count(*) from gold.fact_order") == 5


def test_without_being_asked_a_stage_makes_nothing_again(loaded: Lakehouse) -> None:
    assert loaded.stage("silver") == {}


def test_the_ledger_says_when_a_partition_was_published_and_how(loaded: Lakehouse) -> None:
    with loaded.homes.engine.connect() as conn:
        for layer in LAYERS:
            found = last_published(conn, "olist", layer, DAY)
            assert found is not None
            [(audited_at, ended_at, verdict)] = loaded.query(
                "select audited_at, ended_at, verdict from ops.run where layer = :l and status = 'published'",
                l=layer,
            )
            assert audited_at < found.published_at < ended_at
            assert found.verdict == verdict
            assert found.note.startswith(f"nothing to do: published {found.published_at:%Y-%m-%d}")
            assert last_published(conn, "olist", layer, NEXT_DAY) is None


def test_a_day_that_a_later_run_took_up_counts_as_published(loaded: Lakehouse) -> None:
    for number, day in ((5, NEXT_DAY), (6, "2018-03-03")):
        loaded.land(small_shop(number), day)
        loaded.run_layer("bronze", day)
    for layer in ("silver", "gold"):
        loaded.run_layer(layer, "2018-03-03")
    with loaded.homes.engine.connect() as conn:
        found = [last_published(conn, "olist", layer, NEXT_DAY) for layer in LAYERS]
    assert all(found)


@pytest.mark.parametrize(
    ("layer", "table", "words", "reads"),
    [
        ("bronze", "olist_orders", "copy raw.olist_orders", set()),
        ("silver", "olist_products", "_reasons", {"silver.olist_products", "silver.olist_products_history"}),
        ("gold", "kpi_daily", "affected.order_date", {"gold.kpi_daily", "gold.fact_order"}),
    ],
)
def test_what_a_stage_runs_and_reads_can_be_looked_at(
    landed: Lakehouse, layer: Layer, table: str, words: str, reads: set[str]
) -> None:
    def looked() -> tuple[str, dict[str, Any]]:
        with landed.homes.engine.connect() as conn:
            return explain(conn, landed.project, "olist", layer, DAY, table)

    sql, idle = looked()
    assert words in sql
    assert "not planned yet" in idle["run"]
    plan_again(landed, layer)
    assert looked()[0] == sql
    pinned = looked()[1]
    assert pinned["makes"].keys() >= {table}
    assert reads <= pinned["tables"].keys()
    assert len(pinned["batches"]) == (0 if layer == "gold" else 1)
