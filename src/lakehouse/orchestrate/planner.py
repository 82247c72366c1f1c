"""The task that decides what a run has to do, when it is the run's turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.branch import BranchMixIn
from airflow.sdk import BaseSensorOperator

from lakehouse.orchestrate.homes import open_homes
from lakehouse.orchestrate.partition import partition_key, scope
from lakehouse.orchestrate.telling import RESULT

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lakehouse.contract.model import Layer

log = logging.getLogger(__name__)
#: Whoever is far back in the line looks this often all the same.
_LONGEST_PAUSE_S = 60.0


class PlanOperator(BaseSensorOperator, BranchMixIn):
    """Waits for the run's turn, asks the ledger what there is to do, and skips the tables without work.

    One run of a layer works at a time: two would only overtake each other. ``max_active_runs`` sees to that for
    silver and gold; bronze runs also come from backfills, which bring their own limit (10 unless told
    otherwise), and some sit waiting for a delivery. So every run queues for its *turn* in the ledger, oldest
    partition first; a run that has ended, by success, failure or deletion, is in nobody's way, so nothing has to
    be released. Waiting holds no worker, and whoever is further back in the line looks less often.

    Nothing to do: every table and the gate are skipped and ``publish`` tells the event again. That is so for a
    partition which is published, unless the run is asked to rebuild it.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#fdf3d6"

    def __init__(self, *, source: str, layer: Layer, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.source = source
        self.layer: Layer = layer

    def poke(self, context: Context) -> bool:
        """Whether it is this run's turn."""
        from lakehouse.contract import Project
        from lakehouse.home import warehouse
        from lakehouse.layer.turns import ask_for_turn

        key, alive = partition_key(context), is_running(context["ti"], f"{self.source}_{self.layer}")
        with open_homes() as homes:
            warehouse.prepare(homes, Project.load())
            with homes.engine.begin() as conn:
                before = ask_for_turn(conn, self.source, self.layer, context["run_id"], key, alive)
        if before:
            log.info("%d runs of this layer come first; waiting for the end of %s.", len(before), before[0])
            self.poke_interval = min(self.poke_interval * len(before), _LONGEST_PAUSE_S)
        return not before

    def execute(self, context: Context) -> None:
        """Plan, leave the plan in XCom for whoever reads the run, and branch into the tables that have work.

        Raises:
            LakehouseError: see :func:`lakehouse.layer.flow.plan`.
        """
        super().execute(context)
        from lakehouse.contract import Project
        from lakehouse.layer import flow
        from lakehouse.layer.published import last_published

        key, asked = partition_key(context), scope(context)
        with open_homes() as homes:
            tables = flow.plan(homes, Project.load(), self.source, self.layer, key, asked)
            with homes.engine.connect() as conn:
                before = last_published(conn, self.source, self.layer, key)
        idle = before.note if before else "nothing to do: there is nothing to publish"
        what = f"{len(tables)} tables to make: {', '.join(tables)}" if tables else idle
        log.info("%s %s %s: %s", self.source, self.layer, key, what)
        told: dict[str, Any] = {"partition_key": key, "tables": list(tables), "scope": asked}
        # Branching ends the task where it skips something, so what it returns would be lost.
        context["ti"].xcom_push(key=RESULT, value=told if tables else told | {"idle": idle})
        self.do_branch(context, [f"stage.{t}" for t in tables] or ["publish"])


def is_running(ti: Any, dag_id: str) -> Callable[[str], bool]:
    """Tells for the ids of a DAG's runs whether they are at work; one that was deleted is not."""
    return lambda run_id: bool(ti.get_dr_count(dag_id, run_ids=[run_id], states=["running"]))
