"""Olist through a real scheduler, triggerer and API server: to gold, again, with a bad batch, and mended."""

from __future__ import annotations

import pytest

from lakehouse.errors import LakehouseError

from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop
from .airflow_support import Orchestra

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

EMPTY_DAY = "2018-02-28"
LAYERS = ("bronze", "silver", "gold")


def to_gold(orchestra: Orchestra, key: str, known: dict[str, int], source: str = "olist") -> dict[str, str]:
    """Wait until the runs that come after the known ones have ended well; their ids by layer."""
    return {
        layer: str(orchestra.next_ended(f"{source}_{layer}", key, known[layer])["dag_run_id"])
        for layer in LAYERS
    }


def known_runs(orchestra: Orchestra, key: str, source: str = "olist") -> dict[str, int]:
    return {layer: len(orchestra.runs(f"{source}_{layer}", key)) for layer in LAYERS}


def staged(states: dict[str, str]) -> set[str]:
    return {state for task, state in states.items() if task.startswith("stage.")}


def test_a_backfill_from_the_command_line_carries_its_days_to_gold(orchestra: Orchestra) -> None:
    orchestra.lakehouse.land(small_shop())
    orchestra.command(
        "backfill", "create", "--dag-id", "olist_bronze", "--from-date", EMPTY_DAY, "--to-date", DAY
    )  # fmt: skip
    runs = to_gold(orchestra, DAY, dict.fromkeys(LAYERS, 0))
    for layer, run_id in runs.items():
        run = orchestra.runs(f"olist_{layer}", DAY)[0]
        assert run["logical_date"] is None
        assert set(orchestra.states(f"olist_{layer}", run_id).values()) == {"success"}
        (event,) = orchestra.events(f"olist/{layer}", DAY)
        assert event["extra"]["partition_key"] == DAY
        assert event["extra"]["verdict"] in ("passed", "warned")
        assert set(event["extra"]["row_counts"]) == set(orchestra.lakehouse.tables(layer))  # type: ignore[arg-type]
        assert len(event["extra"]["batch_ids"]) == (0 if layer == "gold" else 9)
        rows = {t["table"]: t for t in event["extra"]["tables"]}
        assert set(rows) == set(event["extra"]["row_counts"])
        assert orchestra.result(f"olist_{layer}", run_id, "publish") == event["extra"]
        assert run["note"].startswith(f"**{event['extra']['verdict']}** · olist {layer} {DAY}\n")
        told = [e["event"] for e in orchestra.entries(f"olist_{layer}", run_id, "publish")]
        for table in rows:
            assert sum(line.startswith(f"{table} ") for line in told) == 1
        assert not [line for line in told if "credentials" in line or "Returned value" in line]
        assert DAY in run_id
    assert orchestra.lakehouse.value("select count(*) from gold.fact_order") == 4


def test_a_backfill_starts_no_run_that_nobody_has_asked_for(orchestra: Orchestra) -> None:
    runs = orchestra.api.pages("/dags/olist_bronze/dagRuns", "dag_runs")
    assert {run["partition_key"] for run in runs if run["run_type"] == "backfill"} == {EMPTY_DAY, DAY}
    assert [run["dag_run_id"] for run in runs if run["run_type"] == "scheduled"] == []


def test_every_table_that_is_published_tells_an_event_of_its_own(orchestra: Orchestra) -> None:
    for layer in LAYERS:
        run = orchestra.runs(f"olist_{layer}", DAY)[0]["dag_run_id"]
        for table in orchestra.lakehouse.tables(layer):  # type: ignore[arg-type]
            (event,) = orchestra.events(f"olist/{layer}/{table}", DAY)
            assert (event["source_task_id"], event["source_run_id"]) == ("publish", run)
            assert event["extra"]["verdict"] in ("passed", "warned")
            assert event["extra"]["inserted"] == event["extra"]["rows"]
    (event,) = orchestra.events("olist/silver/olist_orders", DAY)
    assert event["extra"]["rows"] == event["extra"]["read"] == 4


def test_a_dag_elsewhere_runs_when_its_table_is_published(orchestra: Orchestra) -> None:
    run = orchestra.next_ended("report_of_kpis", DAY)
    assert run["run_type"] == "asset_triggered"


def test_a_stage_task_shows_what_it_runs_and_reads(orchestra: Orchestra) -> None:
    run = orchestra.runs("olist_gold", DAY)[0]["dag_run_id"]
    shown = orchestra.tasks("olist_gold", run)["stage.fact_order_payment"]["rendered_fields"]
    assert "ods.olist_order_payments" in shown["sql"] and "affected.order_id" in shown["sql"]
    pinned = shown["reads"]["tables"]
    assert {"silver.olist_order_payments", "silver.olist_orders"} <= pinned.keys()
    assert all(state.startswith("publish ") for state in pinned.values())
    run = orchestra.runs("olist_silver", DAY)[0]["dag_run_id"]
    shown = orchestra.tasks("olist_silver", run)["stage.olist_products"]["rendered_fields"]
    committed = orchestra.lakehouse.project.root / "sql/ods/olist_products.conform.sql"
    assert shown["sql"].strip() == committed.read_text(encoding="utf-8").strip()
    ((file, what),) = shown["reads"]["batches"].items()
    assert file.endswith("olist_products_dataset.csv")
    assert what.endswith(f" of {DAY}, new")


def test_a_gate_has_a_button_to_its_page(orchestra: Orchestra) -> None:
    for layer in LAYERS:
        run = orchestra.runs(f"olist_{layer}", DAY)[0]["dag_run_id"]
        links = orchestra.api.call("GET", f"/dags/olist_{layer}/dagRuns/{run}/taskInstances/gate/links")
        page = f"gates/olist/{layer}/{DAY}.html"
        assert links["extra_links"] == {"Data Docs": f"/plugin/data-docs/lakehouse/data-docs/{page}"}
        text = (orchestra.home.data_docs / page).read_text(encoding="utf-8")
        assert all(f'data-table="{table}"' in text for table in orchestra.lakehouse.tables(layer))  # type: ignore[arg-type]


def test_a_day_without_delivery_is_skipped_and_wakes_nobody(orchestra: Orchestra) -> None:
    run = orchestra.next_ended("olist_bronze", EMPTY_DAY)
    assert set(orchestra.states("olist_bronze", run["dag_run_id"]).values()) == {"skipped"}
    assert orchestra.events("olist/bronze", EMPTY_DAY) == []
    assert orchestra.runs("olist_silver", EMPTY_DAY) == []


def test_the_same_delivery_again_writes_nothing_and_tells_its_events_again(orchestra: Orchestra) -> None:
    lakehouse, known = orchestra.lakehouse, known_runs(orchestra, DAY)
    before = {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}  # type: ignore[arg-type]
    orchestra.trigger("olist_bronze", DAY)
    runs = to_gold(orchestra, DAY, known)
    for layer, run_id in runs.items():
        states = orchestra.states(f"olist_{layer}", run_id)
        assert staged(states) == {"skipped"}
        assert (states["plan"], states["gate"], states["publish"]) == ("success", "skipped", "success")
        assert orchestra.events(f"olist/{layer}", DAY)[-1]["extra"]["rows_written"] == 0
        assert orchestra.runs(f"olist_{layer}", DAY)[-1]["note"].startswith("Nothing to do: published 20")
        idle = orchestra.result(f"olist_{layer}", run_id, "plan")["idle"]
        assert idle.startswith("nothing to do: published 20")
        assert idle in orchestra.log(f"olist_{layer}", run_id, "plan")
    after = {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}  # type: ignore[arg-type]
    assert after == before


def test_a_trigger_without_a_key_of_its_own_takes_the_param(orchestra: Orchestra) -> None:
    known = known_runs(orchestra, DAY)
    orchestra.command("dags", "trigger", "olist_silver", "--conf", f'{{"partition_key": "{DAY}"}}')
    orchestra.next_ended("olist_gold", DAY, known["gold"])
    (run,) = orchestra.runs("olist_silver", None)
    assert run["state"] == "success"
    assert orchestra.events("olist/silver", DAY)[-1]["source_run_id"] == run["dag_run_id"]


def test_a_trigger_without_any_key_is_refused_and_told_how_to_give_one(orchestra: Orchestra) -> None:
    runs = len(orchestra.runs("olist_gold", None))
    with pytest.raises(LakehouseError, match=r"Which day .*YYYY-MM-DD"):
        orchestra.trigger("olist_gold", None)
    assert len(orchestra.runs("olist_gold", None)) == runs
    # The command line goes past the API.
    orchestra.command("dags", "trigger", "olist_gold")
    run_id = orchestra.runs("olist_gold", None)[-1]["dag_run_id"]
    orchestra.ended("olist_gold", run_id, "failed")
    assert orchestra.tasks("olist_gold", run_id)["plan"]["try_number"] == 1
    assert "has no partition key" in orchestra.log("olist_gold", run_id, "plan")


def test_a_rebuild_stages_audits_and_publishes_anew_in_every_layer_and_rewrites_nothing(
    orchestra: Orchestra,
) -> None:
    lakehouse, known = orchestra.lakehouse, known_runs(orchestra, DAY)
    before = {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}  # type: ignore[arg-type]
    audits = lakehouse.value("select count(*) from ops.quality_result")
    # As the form does it.
    body = {"logical_date": None, "conf": {"partition_key": DAY, "rebuild": True}}
    started = orchestra.api.call("POST", "/dags/olist_bronze/dagRuns", json=body)
    assert started["partition_key"] == DAY
    assert started["dag_run_id"].startswith(f"manual__{DAY}__")
    runs = to_gold(orchestra, DAY, known)
    for layer, run_id in runs.items():
        assert set(orchestra.states(f"olist_{layer}", run_id).values()) == {"success"}
        event = orchestra.events(f"olist/{layer}", DAY)[-1]["extra"]
        assert (event["rows_written"], event["rebuild"]) == (0, True)
        assert set(event["row_counts"]) == set(lakehouse.tables(layer))  # type: ignore[arg-type]
    after = {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}  # type: ignore[arg-type]
    assert after == before
    assert lakehouse.value("select count(*) from ops.quality_result") > 1.5 * audits


def test_clearing_one_table_and_what_follows_runs_just_that(orchestra: Orchestra) -> None:
    run = orchestra.runs("olist_gold", DAY)[0]["dag_run_id"]
    made = "select count(*) from ops.publish where table_name = 'kpi_daily' and status = 'published'"
    before = orchestra.lakehouse.value(made)
    cleared = orchestra.api.call(
        "POST",
        "/dags/olist_gold/clearTaskInstances",
        json={
            "dag_run_id": run,
            "task_ids": ["stage.kpi_daily"],
            "include_downstream": True,
            "only_failed": False,
            "dry_run": False,
        },
    )
    assert {t["task_id"] for t in cleared["task_instances"]} == {"stage.kpi_daily", "gate", "publish"}
    orchestra.ended("olist_gold", run)
    tries = {name: t["try_number"] for name, t in orchestra.tasks("olist_gold", run).items()}
    assert {name for name, number in tries.items() if number == 2} == {"stage.kpi_daily", "gate", "publish"}
    assert set(orchestra.states("olist_gold", run).values()) == {"success"}
    # It was published: it is made, audited and published anew.
    assert orchestra.lakehouse.value(made) == before + 1
    assert set(orchestra.events("olist/gold", DAY)[-1]["extra"]["row_counts"]) == {"kpi_daily"}


def spoilt(shop: Delivery) -> Delivery:
    """An order that was approved before it was placed, which breaks a hard rule."""
    shop.order(1)["order_approved_at"] = "2017-01-01 00:00:00"
    return shop


def test_a_bad_batch_stops_at_the_gate(orchestra: Orchestra) -> None:
    lakehouse = orchestra.lakehouse
    before = {layer: (lakehouse.checksums(layer), lakehouse.snapshots(layer)) for layer in ("silver", "gold")}
    lakehouse.land(spoilt(small_shop(5)), NEXT_DAY)
    orchestra.trigger("olist_bronze", NEXT_DAY)
    run = orchestra.next_ended("olist_silver", NEXT_DAY, state="failed")["dag_run_id"]
    states = orchestra.tasks("olist_silver", run)
    assert (states["gate"]["state"], states["publish"]["state"]) == ("failed", "upstream_failed")
    assert states["gate"]["try_number"] == 1
    log = orchestra.log("olist_silver", run, "gate")
    for part in ("GateFailed", "olist_orders", "approval_follows_purchase", ident("order", 1)):
        assert part in log
    rules = [
        e for e in orchestra.entries("olist_silver", run, "gate") if "silver.olist_orders " in e["event"]
    ]
    assert {(e["event"].split()[0], e["level"]) for e in rules} >= {("hard", "error")}
    report = orchestra.result("olist_silver", run, "gate")
    assert report["verdict"] == "blocked"
    assert ("olist_orders", "approval_follows_purchase") in {
        (b["table"], b["rule"]) for b in report["broken"]
    }
    ended = orchestra.runs("olist_silver", NEXT_DAY)[-1]
    assert ended["note"].startswith(
        f"**blocked** · olist silver {NEXT_DAY}\n* olist_orders: hard rule approval_"
    )
    assert orchestra.events("olist/silver", NEXT_DAY) == []
    assert orchestra.runs("olist_gold", NEXT_DAY) == []
    after = {layer: (lakehouse.checksums(layer), lakehouse.snapshots(layer)) for layer in ("silver", "gold")}
    assert after == before


def test_the_mended_batch_goes_through(orchestra: Orchestra) -> None:
    known = known_runs(orchestra, NEXT_DAY)
    orchestra.lakehouse.land(small_shop(5), NEXT_DAY)
    orchestra.trigger("olist_bronze", NEXT_DAY)
    to_gold(orchestra, NEXT_DAY, known)
    assert orchestra.lakehouse.value("select count(*) from gold.fact_order") == 5
