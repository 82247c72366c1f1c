"""Builds the DAGs of a source: ``<source>_bronze`` → ``<source>_silver`` → ``<source>_gold``; ``<source>_catch_up``.

    bronze   wait_for_delivery → plan → stage.<table>… → gate → publish ⇒ asset <source>/bronze
    silver                       plan → stage.<table>… → gate → publish ⇒ asset <source>/silver
    gold                         plan → stage.<table>… → gate → publish ⇒ asset <source>/gold

A partition key, the delivery's date, travels with the asset events. ``plan`` skips the tables without work;
when nothing is left it goes straight to ``publish``, which tells the event again. Hence the trigger rule of
the tasks behind it: skipped tables are fine, failed ones are not, and when everything before was skipped (no
delivery) so is the task.

    catch_up   look → wake_silver ⇒ asset <source>/bronze, wake_gold ⇒ asset <source>/silver

tells an event again when a layer has missed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    ExceptionRetryPolicy,
    Param,
    PartitionedAssetTimetable,
    RetryRule,
    TaskGroup,
    TriggerRule,
)
from airflow.sdk.definitions.retry_policy import RetryAction

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.errors import ContractError, FileDefect, GateFailed
from lakehouse.orchestrate import catch_up, manual, pools, steps
from lakehouse.orchestrate.delivery import DeliverySensor
from lakehouse.orchestrate.partition import KEY_FORMAT
from lakehouse.orchestrate.planner import PlanOperator

#: Skipped is fine, failed is not; skip when everything before was skipped.
_AFTER_SKIPS = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
#: What trying again cannot mend. Everything else (a killed task, a lost connection, a full pool) is retried.
_NOT_RETRIED = RetryRule(
    [GateFailed, FileDefect, ContractError], RetryAction.FAIL, reason="Trying again cannot mend this."
)

#: How long a layer that was unpaused may wait for its next run.
_CATCH_UP = "*/2 * * * *"


@dataclass(frozen=True)
class LayerAssets:
    """The assets that a source's layers emit."""

    bronze: Asset
    silver: Asset
    gold: Asset


@dataclass(frozen=True)
class Source:
    """What the factory must be told of a source; its tables come from its contracts and gold models.

    ``impact`` says per layer who misses what while it fails; ``wait_hours`` is how long after the end of a
    day its delivery is waited for.
    """

    name: str
    summary: str
    owner: str
    impact: Mapping[str, str]
    assets: LayerAssets
    tags: tuple[str, ...] = ()
    wait_hours: float = 24
    bronze_runs: int = 16
    stage_timeout: timedelta = timedelta(minutes=30)
    retries: int = 3
    retry_delay: timedelta = timedelta(seconds=10)


def build_dags(source: Source) -> dict[str, DAG]:
    """The source's DAGs by id.

    Raises:
        ContractError: the source has no contracts, or a contract is not valid.
    """
    project = _project()
    dags = (_bronze(source, project), _silver(source, project), _gold(source, project), _catch_up(source))
    return {dag.dag_id: dag for dag in dags}


@cache
def _project() -> Project:
    """Read once a process: the DAG processor and a task's process import the files of several sources."""
    return Project.load()


def _bronze(source: Source, project: Project) -> DAG:
    """The producer: one run a day, for the day that has just ended, or a backfill's days."""
    params = _key_param() | {
        "wait_hours": Param(
            source.wait_hours,
            type="number",
            minimum=0,
            maximum=24 * 14,
            title="Hours to wait",
            description="How long after the end of the day (UTC) its delivery is waited for. Later than "
            "that, and for all days of the past, the landing zone is looked at once; without a delivery the "
            "run ends as skipped.",
        )
    }
    # No start_date: a fresh installation starts with the next midnight, and catch-up has nothing to catch.
    timetable = CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format=KEY_FORMAT)
    with _dag(source, "bronze", timetable, params, max_active_runs=source.bronze_runs) as dag:
        wait = DeliverySensor(
            task_id="wait_for_delivery",
            source=source.name,
            poke_interval=30,
            doc_md="Succeeds when the delivery's manifest is there; skips the run when there is no delivery.",
        )
        wait >> _steps(source, "bronze", project)
    return dag


def _silver(source: Source, project: Project) -> DAG:
    """The consumer of bronze; a day at a time, because later rows win over earlier ones."""
    params = _key_param() | {
        "reconform": Param(
            False,
            type="boolean",
            title="Judge everything again",
            description="Work silver out from all of bronze again, whatever the day: after a contract's rules have "
            "changed, rows that are fine now leave quarantine. Rows that come out as they were are not written.",
        )
    }
    timetable = PartitionedAssetTimetable(assets=source.assets.bronze)
    with _dag(source, "silver", timetable, params, max_active_runs=1) as dag:
        _steps(source, "silver", project)
    return dag


def _gold(source: Source, project: Project) -> DAG:
    """The consumer of silver; a run takes up everything silver published since the last one."""
    params = _key_param() | {
        "full_refresh": Param(
            False,
            type="boolean",
            title="Full refresh",
            description="Recompute every gold table in full, not only what changed. Safe, but takes longer. "
            "A table whose SQL changed is recomputed in full without this.",
        )
    }
    timetable = PartitionedAssetTimetable(assets=source.assets.silver)
    with _dag(source, "gold", timetable, params, max_active_runs=1) as dag:
        _steps(source, "gold", project)
    return dag


def _catch_up(source: Source) -> DAG:
    """Tells events again that a layer has missed; a trifle to run when there are none."""
    with DAG(
        dag_id=f"{source.name}_catch_up",
        description=f"Wakes silver and gold of {source.name} when they have missed an event.",
        schedule=_CATCH_UP,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=10),
        tags=["lakehouse", f"source:{source.name}", *source.tags],
        doc_md=manual.catch_up_page(source.name, source.owner),
        # The next run tries again.
        default_args={"owner": source.owner, "retries": 0, "execution_timeout": timedelta(minutes=5)},
    ) as dag:
        look = BranchPythonOperator(
            task_id="look",
            python_callable=catch_up.look,
            op_kwargs={"source": source.name},
            doc_md="Asks the ledger which layers have missed something.",
        )
        look.template_fields = ()
        assets: dict[Layer, Asset] = {"silver": source.assets.bronze, "gold": source.assets.silver}
        look >> [_wake(source, layer, asset) for layer, asset in assets.items()]
    return dag


def _wake(source: Source, layer: Layer, asset: Asset) -> PythonOperator:
    operator = PythonOperator(
        task_id=f"wake_{layer}",
        python_callable=catch_up.wake,
        op_kwargs={"source": source.name, "layer": layer, "asset": asset},
        outlets=[asset],
        doc_md=f"Tells {asset.name} again, for the oldest partition that {layer} has missed.",
    )
    operator.template_fields = ()
    return operator


def _dag(source: Source, layer: Any, schedule: Any, params: dict[str, Param], *, max_active_runs: int) -> DAG:
    impact = source.impact[layer]
    page = manual.page(
        manual.Situation(source.name, layer, source.summary, impact, source.owner, max_active_runs)
    )
    return DAG(
        dag_id=f"{source.name}_{layer}",
        description=f"{source.summary} {impact}",
        schedule=schedule,
        catchup=False,
        max_active_runs=max_active_runs,
        dagrun_timeout=timedelta(days=15) if layer == "bronze" else timedelta(hours=12),
        params=params,
        tags=["lakehouse", f"source:{source.name}", f"layer:{layer}", *source.tags],
        doc_md=page,
        default_args={
            "owner": source.owner,
            "retries": source.retries,
            "retry_delay": source.retry_delay,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=10),
            "retry_policy": ExceptionRetryPolicy(rules=[_NOT_RETRIED]),
        },
    )


def _key_param() -> dict[str, Param]:
    return {
        "partition_key": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Partition key (fallback)",
            description="The delivery's date, YYYY-MM-DD. For triggers that cannot carry a Partition Key "
            "of their own, such as `airflow dags trigger --conf`; a run's own key wins.",
        )
    }


def _steps(source: Source, layer: Any, project: Project) -> PlanOperator:
    """plan → stage.<table> → gate → publish. Returns the first."""
    asset: Asset = getattr(source.assets, layer)
    plan = PlanOperator(
        task_id="plan",
        source=source.name,
        layer=layer,
        pool=pools.PLAN_POOL,
        poke_interval=5,
        timeout=timedelta(hours=12).total_seconds(),
        execution_timeout=timedelta(minutes=15),
        doc_md="Waits for the run's turn, asks the ledger what is to do, skips the tables without work.",
    )
    gate = _task(
        "gate",
        steps.gate,
        {"source": source.name, "layer": layer},
        pool=pools.GATE_POOL,
        execution_timeout=timedelta(minutes=30),
        doc_md="Audits what is staged. A broken hard rule ends the run: nothing published, no event.",
    )
    publish = _task(
        "publish",
        steps.publish,
        {"source": source.name, "layer": layer, "asset": asset},
        pool=pools.PUBLISH_POOL,
        execution_timeout=timedelta(minutes=30),
        outlets=[asset],
        doc_md=f"One COMMIT for both homes, then the event {asset.name}.",
    )
    order = project.stage_order(source.name, layer)
    with TaskGroup("stage", tooltip="One task a table: clear one with downstream."):
        staged = {t: _stage(source, layer, t) for t in order}
    for table, before in order.items():
        # Each hangs on the plan itself too, so that the plan can skip each alone.
        [plan, *(staged[b] for b in before)] >> staged[table]
    list(staged.values()) >> gate >> publish
    plan >> publish
    return plan


def _stage(source: Source, layer: Any, table: str) -> PythonOperator:
    return _task(
        table,
        steps.stage,
        {"source": source.name, "layer": layer, "table": table},
        pool=pools.STAGE_POOL,
        execution_timeout=source.stage_timeout,
        doc_md=f"Makes the rows of {layer} table {table} in both homes, where no reader sees them.",
    )


def _task(task_id: str, call: Any, arguments: dict[str, Any], **options: Any) -> PythonOperator:
    operator = PythonOperator(
        task_id=task_id,
        python_callable=call,
        op_kwargs=arguments,
        trigger_rule=_AFTER_SKIPS,
        show_return_value_in_logs=False,  # the tasks tell it as people read it
        **options,
    )
    # Nothing in the arguments is a template; rendering them would only store copies in the metadata database.
    operator.template_fields = ()
    return operator
