"""Builds the DAGs of a source: ``<source>_bronze`` → ``<source>_silver`` → ``<source>_gold``; ``<source>_catch_up``.

    bronze   find_delivery → plan → stage.<table>… → gate → publish ⇒ asset <source>/bronze
    silver                   plan → stage.<table>… → gate → publish ⇒ asset <source>/silver
    gold                     plan → stage.<table>… → gate → publish ⇒ asset <source>/gold

``publish`` also tells the assets of the tables, ``<source>/<layer>/<table>``
(see :mod:`lakehouse.orchestrate.lineage`).

A partition key, the delivery's date, travels with the asset events. ``plan`` skips the tables without work;
when nothing is left it goes straight to ``publish``, which tells the event again. Hence the trigger rule of
the tasks behind it: skipped tables are fine, failed ones are not, and when everything before was skipped (no
delivery) so is the task.

    catch_up   look → wake_bronze, wake_silver ⇒ asset <source>/bronze, wake_gold ⇒ asset <source>/silver

starts bronze for a delivery that came late, and tells an event again when a layer has missed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (
    DAG,
    Asset,
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
from lakehouse.orchestrate import catch_up, lineage, manual, pools, steps
from lakehouse.orchestrate.delivery import DeliveryOperator
from lakehouse.orchestrate.links import DataDocsLink
from lakehouse.orchestrate.partition import KEY_PARAM
from lakehouse.orchestrate.planner import PlanOperator
from lakehouse.orchestrate.stage import StageOperator
from lakehouse.orchestrate.timetable import DailyDeliveries

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

    ``impact`` says per layer who misses what while it fails; ``wait_hours`` is for how long after the end of a
    day (UTC) a delivery that comes late is taken up by itself.
    """

    name: str
    summary: str
    owner: str
    impact: Mapping[str, str]
    assets: LayerAssets
    tags: tuple[str, ...] = ()
    wait_hours: float = 24
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
    params = _params("Parse, audit and publish the day's files anew, and after them silver and gold.")
    # No start_date: a fresh installation starts with the next midnight, and catch-up has nothing to catch.
    with _dag(source, "bronze", DailyDeliveries(), params) as dag:
        find = DeliveryOperator(
            task_id="find_delivery",
            source=source.name,
            execution_timeout=timedelta(minutes=5),
            doc_md="Succeeds when the delivery's manifest is there; skips the run when there is no delivery.",
        )
        find >> _steps(source, "bronze", project)
    return dag


def _silver(source: Source, project: Project) -> DAG:
    """The consumer of bronze; a day at a time, because later rows win over earlier ones."""
    params = _params("Work the day's deliveries out of bronze again, and after them gold.") | {
        "reconform": Param(
            False,
            type="boolean",
            title="Judge everything again",
            description="Work silver out from all of bronze again, whatever the day: after a contract's rules have "
            "changed, rows that are fine now leave quarantine. Rows that come out as they were are not written.",
        )
    }
    timetable = PartitionedAssetTimetable(assets=source.assets.bronze)
    with _dag(source, "silver", timetable, params) as dag:
        _steps(source, "silver", project)
    return dag


def _gold(source: Source, project: Project) -> DAG:
    """The consumer of silver; a run takes up everything silver published since the last one."""
    params = _params(
        "Recompute every gold table in full, not only what changed: what one day has brought cannot be told from the "
        "rest. A table whose SQL changed is recomputed in full without this."
    )
    timetable = PartitionedAssetTimetable(assets=source.assets.silver)
    with _dag(source, "gold", timetable, params) as dag:
        _steps(source, "gold", project)
    return dag


def _catch_up(source: Source) -> DAG:
    """Starts what layers have missed; a trifle to run when there is nothing."""
    with DAG(
        dag_id=f"{source.name}_catch_up",
        description=f"Wakes the layers of {source.name} when a delivery came late or an event was missed.",
        schedule=_CATCH_UP,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=10),
        tags=["lakehouse", f"source:{source.name}", *source.tags],
        doc_md=manual.catch_up_page(source.name, source.owner, source.wait_hours),
        # The next run tries again.
        default_args={"owner": source.owner, "retries": 0, "execution_timeout": timedelta(minutes=5)},
    ) as dag:
        look = BranchPythonOperator(
            task_id="look",
            python_callable=catch_up.look,
            op_kwargs={"source": source.name, "wait_hours": source.wait_hours},
            doc_md="Asks landing zone and ledger which layers have missed something.",
        )
        look.template_fields = ()
        assets: dict[Layer, Asset] = {"silver": source.assets.bronze, "gold": source.assets.silver}
        look >> [_wake_bronze(source), *(_wake(source, layer, asset) for layer, asset in assets.items())]
    return dag


def _wake_bronze(source: Source) -> TriggerDagRunOperator:
    day = f"{{{{ ti.xcom_pull(task_ids='look', key='{catch_up.DELIVERED}') }}}}"
    return TriggerDagRunOperator(
        task_id="wake_bronze",
        trigger_dag_id=f"{source.name}_bronze",
        trigger_run_id=f"landed__{day}__{{{{ dag_run.run_after.isoformat() }}}}",
        conf={KEY_PARAM: day},
        logical_date=None,
        note="The delivery came late.",
        skip_when_already_exists=True,
        doc_md="Runs bronze for a delivery that came after its day's run had looked for it.",
    )


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


def _dag(source: Source, layer: Any, schedule: Any, params: dict[str, Param]) -> DAG:
    impact = source.impact[layer]
    page = manual.page(
        manual.Situation(source.name, layer, source.summary, impact, source.owner, source.wait_hours)
    )
    return DAG(
        dag_id=f"{source.name}_{layer}",
        description=f"{source.summary} {impact}",
        schedule=schedule,
        catchup=False,
        # A second run would only wait for its turn, as a bar in the grid that hides all others.
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=12),
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


def _params(rebuild: str) -> dict[str, Param]:
    """What the trigger form of every layer asks for."""
    return {
        KEY_PARAM: Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="Which delivery: its date. It becomes the run's partition key, and the layers after this one "
            "follow for the same day. The Partition Key under Advanced Options may stay empty.",
        ),
        "rebuild": Param(
            False,
            type="boolean",
            title="Rebuild this partition",
            description=f"For a day that is published: {rebuild[0].lower()}{rebuild[1:]} "
            "Rows that come out as they were are not written; the gate and its pages are fresh.",
        ),
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
    gate.operator_extra_links = (DataDocsLink(),)
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
        staged = {t: _stage(source, layer, t, project) for t in order}
    for table, before in order.items():
        # Each hangs on the plan itself too, so that the plan can skip each alone.
        [plan, *(staged[b] for b in before)] >> staged[table]
    list(staged.values()) >> gate >> publish
    plan >> publish
    return plan


def _stage(source: Source, layer: Any, table: str, project: Project) -> StageOperator:
    return StageOperator(
        task_id=table,
        source=source.name,
        layer=layer,
        table=table,
        trigger_rule=_AFTER_SKIPS,
        pool=pools.STAGE_POOL,
        execution_timeout=source.stage_timeout,
        inlets=lineage.read_by(project, source.name, layer, table, source.owner),
        outlets=lineage.made_by(project, source.name, layer, table, source.owner),
        doc_md=f"Makes the rows of {layer} table {table} in both homes, where no reader sees them. *Rendered "
        "Templates* shows the SQL and what it reads, *XCom* the counts.",
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
