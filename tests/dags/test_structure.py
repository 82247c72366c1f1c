"""What the DAGs promise to whoever operates them: ids, order, retries, pools, pages, params, events."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, TriggerRule

from lakehouse.contract import Project
from lakehouse.layer import maintenance
from lakehouse.orchestrate import maintenance as maintenance_dag
from lakehouse.orchestrate.manual import RUNBOOKS
from lakehouse.orchestrate.pools import POOLS
from lakehouse.orchestrate.stage import StageOperator
from lakehouse.orchestrate.timetable import DailyDeliveries

LAYERS = ("bronze", "silver", "gold")
PROJECT = Project.load()
SOURCES = PROJECT.sources
EVERY = [f"{source}_{layer}" for source in SOURCES for layer in LAYERS]
CATCH_UPS = [f"{source}_catch_up" for source in SOURCES]
ROOT = Path(__file__).resolve().parents[2]


def _parts(dag_id: str) -> tuple[str, Any]:
    source, _, layer = dag_id.rpartition("_")
    return source, layer


def test_every_source_has_its_dags_and_there_are_no_others(dags: dict[str, DAG]) -> None:
    ours = [dag_id for dag_id, dag in dags.items() if "lakehouse" in dag.tags]
    assert sorted(ours) == sorted([*EVERY, *CATCH_UPS, "lakehouse_maintenance", "lakehouse_site"])


@pytest.mark.parametrize("dag_id", EVERY)
def test_there_is_one_stage_task_a_table(dags: dict[str, DAG], dag_id: str) -> None:
    source, layer = _parts(dag_id)
    around = {"plan", "gate", "publish"} | ({"find_delivery"} if layer == "bronze" else set())
    tables = PROJECT.stage_order(source, layer)
    assert set(dags[dag_id].task_ids) == around | {f"stage.{t}" for t in tables}


@pytest.mark.parametrize("dag_id", EVERY)
def test_a_table_waits_for_what_it_reads_and_for_nothing_else(dags: dict[str, DAG], dag_id: str) -> None:
    source, layer = _parts(dag_id)
    dag = dags[dag_id]
    for table, before in PROJECT.stage_order(source, layer).items():
        task = dag.get_task(f"stage.{table}")
        assert task.upstream_task_ids == {"plan"} | {f"stage.{t}" for t in before}
        assert "gate" in task.downstream_task_ids
    assert dag.get_task("gate").downstream_task_ids == {"publish"}
    assert dag.get_task("publish").downstream_task_ids == set()
    assert "publish" in dag.get_task("plan").downstream_task_ids


@pytest.mark.parametrize("dag_id", EVERY)
def test_skipped_tables_do_not_stop_the_run_but_failed_ones_do(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    for task in dag.tasks:
        if task.task_id in {"gate", "publish"} or task.task_id.startswith("stage."):
            assert task.trigger_rule == TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
        else:
            assert task.trigger_rule == TriggerRule.ALL_SUCCESS


@pytest.mark.parametrize("dag_id", EVERY)
def test_tasks_are_retried_with_growing_pauses_and_end_in_time(dags: dict[str, DAG], dag_id: str) -> None:
    for task in dags[dag_id].tasks:
        assert task.retries and task.retries >= 2
        assert task.retry_exponential_backoff == 2.0
        assert isinstance(task.max_retry_delay, timedelta) and task.max_retry_delay <= timedelta(minutes=10)
        assert task.execution_timeout


@pytest.mark.parametrize("dag_id", EVERY)
def test_work_that_must_not_collide_has_its_pool(dags: dict[str, DAG], dag_id: str) -> None:
    pools = {"plan": "lakehouse_plan", "gate": "lakehouse_gate", "publish": "lakehouse_publish"}
    for task in dags[dag_id].tasks:
        if task.task_id == "find_delivery":
            assert task.pool == "default_pool"
            continue
        assert task.pool == pools.get(task.task_id, "lakehouse_stage")
        assert task.pool in POOLS
    assert POOLS["lakehouse_publish"][0] == 1


@pytest.mark.parametrize("dag_id", EVERY)
def test_only_publish_tells_that_the_layer_is_there(dags: dict[str, DAG], dag_id: str) -> None:
    source, layer = _parts(dag_id)
    told = {
        t.task_id: [(a.name, a.uri) for a in t.outlets]
        for t in dags[dag_id].tasks
        if t.outlets
        and not isinstance(t, StageOperator)  # these tell nothing, see the tests with a scheduler
    }
    assert told == {"publish": [(f"{source}/{layer}", f"x-lakehouse://{source}/{layer}")]}


@pytest.mark.parametrize("dag_id", EVERY)
def test_every_table_is_an_asset_and_the_graph_leads_to_it_from_what_it_is_made_of(
    dags: dict[str, DAG], dag_id: str
) -> None:
    source, layer = _parts(dag_id)
    made: list[Asset] = []
    for table in PROJECT.stage_order(source, layer):
        task = dags[dag_id].get_task(f"stage.{table}")
        made += task.outlets
        assert task.outlets[0].name == f"{source}/{layer}/{table}"
        read = {asset.name for asset in task.inlets}
        if layer == "bronze":
            assert read == {f"{source}/landing/{PROJECT.contracts[table].name}"}
        elif layer == "silver":
            assert read == {f"{source}/bronze/{table}"}
        else:
            model = PROJECT.gold[table]
            silver, gold = sorted(model.ods_references), sorted(model.gold_references)
            assert read == {f"{source}/silver/{t}" for t in silver} | {f"{source}/gold/{t}" for t in gold}
    tables = PROJECT.gold if layer == "gold" else PROJECT.silver if layer == "silver" else PROJECT.contracts
    names = [f"{source}/{layer}/{t}" for t, contract in tables.items() if contract.source == source]
    assert sorted(asset.name for asset in made) == sorted(names)
    for asset in made:
        assert asset.uri == f"x-lakehouse://{asset.name}"
        assert asset.group == f"{source} {layer}"
        assert asset.extra["owner"] == dags[dag_id].get_task("publish").owner
        assert asset.extra["description"] and asset.extra["grain"]
        assert asset.extra["lake"] == f"{layer}.{asset.name.rpartition('/')[2]}"


def test_what_one_layer_makes_is_the_same_asset_where_the_next_one_reads_it(dags: dict[str, DAG]) -> None:
    """Airflow keeps one group and extra of an asset: two that differ would overwrite each other."""
    found: dict[str, Asset] = {}
    for dag in dags.values():
        for task in dag.tasks:
            for asset in (*task.inlets, *task.outlets):
                assert found.setdefault(asset.name, asset) == asset


@pytest.mark.parametrize("source", SOURCES)
def test_the_schedule_hands_a_plain_date_from_layer_to_layer(dags: dict[str, DAG], source: str) -> None:
    bronze, silver, gold = (dags[f"{source}_{layer}"] for layer in LAYERS)
    assert isinstance(bronze.timetable, DailyDeliveries)
    for consumer, producer in ((silver, "bronze"), (gold, "silver")):
        assert isinstance(consumer.timetable, PartitionedAssetTimetable)
        assert consumer.timetable.asset_condition == Asset(
            name=f"{source}/{producer}", uri=f"x-lakehouse://{source}/{producer}", group="lakehouse"
        )


@pytest.mark.parametrize("dag_id", EVERY)
def test_runs_do_not_overtake_each_other(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert not dag.catchup
    assert dag.start_date is None
    assert dag.max_active_runs == 1


@pytest.mark.parametrize("dag_id", EVERY)
def test_params_are_typed_and_explained(dags: dict[str, DAG], dag_id: str) -> None:
    _, layer = _parts(dag_id)
    params = {name: dags[dag_id].params.get_param(name) for name in dags[dag_id].params}
    expected = {"reconform"} if layer == "silver" else set()
    assert list(params)[:2] == ["partition_key", "rebuild"]
    assert set(params) == {"partition_key", "rebuild"} | expected
    for param in params.values():
        assert param.schema["type"]
        assert len(param.description or "") > 30
        assert param.schema["title"]


def test_the_site_is_built_beside_what_moves_data_and_wakes_nobody(dags: dict[str, DAG]) -> None:
    dag = dags["lakehouse_site"]
    assert str(dag.schedule) == "*/2 * * * *"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    (task,) = dag.tasks
    assert not task.outlets and task.doc_md and task.execution_timeout and dag.doc_md


def test_maintenance_runs_a_step_at_a_time_every_night_and_none_stops_another(dags: dict[str, DAG]) -> None:
    dag = dags["lakehouse_maintenance"]
    assert str(dag.schedule) == "30 4 * * *"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert list(maintenance_dag.STEPS) == list(maintenance.STEPS)
    before: set[str] = set()
    for name in maintenance.STEPS:
        task = dag.get_task(name)
        assert (task.pool, task.trigger_rule) == ("lakehouse_maintenance", TriggerRule.ALL_DONE)
        assert task.upstream_task_ids == before
        assert not task.outlets and task.retries and task.execution_timeout and task.doc_md
        before = {name}
    assert POOLS["lakehouse_maintenance"][0] == 1
    # The run is red when a step is; one that is skipped is fine.
    done = dag.get_task("done")
    assert (done.upstream_task_ids, done.trigger_rule) == (set(maintenance.STEPS), TriggerRule.NONE_FAILED)
    assert dag.params["dry_run"] is False and dag.params.get_param("dry_run").schema["type"] == "boolean"
    assert "disk-full" in (dag.doc_md or "")


@pytest.mark.parametrize("dag_id", CATCH_UPS)
def test_missed_events_are_looked_for_every_few_minutes_and_told_by_tasks_that_are_skipped_else(
    dags: dict[str, DAG], dag_id: str
) -> None:
    dag, source = dags[dag_id], dag_id.removesuffix("_catch_up")
    assert str(dag.schedule) == "*/2 * * * *"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    told = {t.task_id: [a.name for a in t.outlets] for t in dag.tasks if t.outlets}
    assert told == {"wake_silver": [f"{source}/bronze"], "wake_gold": [f"{source}/silver"]}
    assert dag.get_task("look").downstream_task_ids == {"wake_bronze", *told}
    wake = dag.get_task("wake_bronze")
    assert isinstance(wake, TriggerDagRunOperator)
    assert wake.trigger_dag_id == f"{source}_bronze"
    assert all(task.doc_md and task.execution_timeout for task in dag.tasks)
    assert "partition-did-not-travel" in (dag.doc_md or "") and "no-delivery" in (dag.doc_md or "")


def test_a_partition_key_param_must_be_a_date(dags: dict[str, DAG]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    param = dags["olist_silver"].params.get_param("partition_key")
    assert param.resolve(None) is None
    assert param.resolve("2018-10-17") == "2018-10-17"
    with pytest.raises(ParamValidationError):
        param.resolve("yesterday")


@pytest.mark.parametrize("dag_id", EVERY)
def test_the_page_helps_whoever_is_on_call(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    page = dag.doc_md or ""
    for heading in ("What it does", "Impact of failure", "How to rerun", "Runbooks"):
        assert f"**{heading}" in page
    assert "$" not in page
    assert dag.description
    assert {"lakehouse", f"source:{_parts(dag_id)[0]}", f"layer:{_parts(dag_id)[1]}"} <= dag.tags
    for task in dag.tasks:
        assert task.owner not in ("", "airflow")
        assert task.doc_md


def test_every_runbook_exists_and_is_linked(dags: dict[str, DAG]) -> None:
    pages = "".join(dag.doc_md or "" for dag in dags.values())
    for name in RUNBOOKS:
        assert (ROOT / "docs" / "runbooks" / f"{name}.md").is_file()
        assert f"docs/runbooks/{name}.md" in pages


@pytest.mark.parametrize("dag_id", EVERY + CATCH_UPS)
def test_a_page_names_no_task_that_its_dag_does_not_have(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    every = {task.task_id for other in dags.values() for task in other.tasks if "." not in task.task_id}
    named = {name for name in every if f"`{name}`" in (dag.doc_md or "")}
    assert named <= set(dag.task_ids)
    assert named or dag_id in CATCH_UPS


def test_links_lead_to_pages_inside_airflow_or_to_where_they_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lakehouse.orchestrate.manual import Situation, page

    it = Situation("olist", "gold", "Orders.", "Figures stay.", "somebody")
    assert "(/lakehouse/site/runbooks/gate-blocked.html)" in page(it)
    assert "(/lakehouse/data-docs/index.html)" in page(it)
    monkeypatch.setenv("LAKEHOUSE_PAGES_URL", "https://docs.example/")
    assert "(https://docs.example/site/runbooks/gate-blocked.html)" in page(it)


def test_data_and_rule_errors_are_not_retried_but_everything_else_is(dags: dict[str, DAG]) -> None:
    from airflow.sdk.definitions.retry_policy import RetryAction

    from lakehouse.errors import ContractError, FileDefect, GateFailed, StaleStage

    policy = dags["olist_bronze"].get_task("gate").retry_policy
    assert policy
    for error in (GateFailed("x"), FileDefect("x"), ContractError("x")):
        assert policy.evaluate(error, 1, 3).action is RetryAction.FAIL
    for other in (StaleStage("x"), ConnectionError("x"), MemoryError()):
        assert policy.evaluate(other, 1, 3).action is RetryAction.DEFAULT
