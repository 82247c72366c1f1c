"""The task that decides what a run has to do, when it is the run's turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.branch import BranchMixIn
from airflow.sdk import BaseSensorOperator

from lakehouse.orchestrate.homes import open_homes
from lakehouse.orchestrate.partition import partition_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lakehouse.contract.model import Layer
    from lakehouse.home.homes import Homes


class PlanOperator(BaseSensorOperator, BranchMixIn):
    """Waits for the run's turn, asks the ledger what there is to do, and skips the tables without work.

    A layer's stage is shared, so one run of a layer works at a time. ``max_active_runs`` sees to that for
    silver and gold; bronze runs also come from backfills, which bring their own limit (10 unless told
    otherwise), and some sit waiting for a delivery. So the planner takes a *turn*: a row that names the run,
    respected while that run is running. It looks again every ``poke_interval`` without holding a worker.

    Nothing to do: every table and the gate are skipped and ``publish`` tells the event again.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#fdf3d6"

    def __init__(self, *, source: str, layer: Layer, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.source = source
        self.layer: Layer = layer

    def poke(self, context: Context) -> bool:
        """Whether it is this run's turn."""
        with open_homes() as homes:
            holder = take_turn(homes, self.source, self.layer, context["run_id"], context["ti"])
        if holder:
            self.log.info("Run %s of this layer is at work; waiting for its end.", holder)
        return holder is None

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, then branch into the tables that have work.

        Returns the plan, for whoever reads the run.

        Raises:
            LakehouseError: see :func:`lakehouse.layer.flow.plan`.
        """
        super().execute(context)
        from lakehouse.contract import Project
        from lakehouse.layer import flow

        key = partition_key(context)
        full = bool(context["params"].get("full_refresh", False))
        with open_homes() as homes:
            tables = flow.plan(homes, Project.load(), self.source, self.layer, key, full_refresh=full)
        self.log.info("%s %s %s: %s", self.source, self.layer, key, ", ".join(tables) or "nothing to do")
        self.do_branch(context, [f"stage.{t}" for t in tables] or ["publish"])
        return {"partition_key": key, "tables": list(tables), "full_refresh": full}


def take_turn(homes: Homes, source: str, layer: Layer, run_id: str, ti: Any) -> str | None:
    """Make ``run_id`` the run that works on a layer, unless another one does: then that run's id.

    A run that has ended, by success, failure or deletion, has no turn any more: nothing needs to be released.
    """
    from sqlalchemy import text

    from lakehouse.contract import Project
    from lakehouse.home import warehouse

    warehouse.prepare(homes, Project.load())
    turn = {"name": f"turn:{source}:{layer}", "run": run_id}
    with homes.engine.begin() as conn:
        conn.execute(
            text("insert into ops.setting (name, value) values (:name, :run) on conflict do nothing"), turn
        )
        holder: str = conn.execute(
            text("select value from ops.setting where name = :name for update"), turn
        ).scalar_one()
        if holder != run_id and _is_running(ti, holder):
            return holder
        conn.execute(text("update ops.setting set value = :run where name = :name"), turn)
    return None


def _is_running(ti: Any, run_id: str) -> bool:
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return bool(ti.get_dagrun_state(ti.dag_id, run_id) == "running")
    except AirflowRuntimeError:  # the run has been deleted
        return False
