"""A running Airflow in few words: trigger, backfill, wait, look at runs, tasks, logs and events."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jwt

from lakehouse.stack import laptop
from lakehouse.stack.airflow_api import AirflowApi
from lakehouse.stack.state import StackHome, StackState

from ..support.lakehouse import Lakehouse

Json = dict[str, Any]
T = TypeVar("T")
ENDED = ("success", "failed")


def wait_for(what: Callable[[], T | None], seconds: float = 240, why: str = "") -> T:
    """The first true answer of ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited in vain for {why or what}"
        time.sleep(0.5)
    return found


@dataclass
class Orchestra:
    """The stack under test."""

    home: StackHome
    state: StackState
    api: AirflowApi
    lakehouse: Lakehouse

    @property
    def project(self) -> Path:
        """The copy of the checkout that the stack serves."""
        return self.lakehouse.project.root

    def environment(self) -> dict[str, str]:
        """For commands that are to work on this stack and its project."""
        places = {"LAKEHOUSE_HOME": str(self.home.root), "LAKEHOUSE_PROJECT": str(self.project)}
        return os.environ | places

    def trigger(self, dag: str, key: str | None, conf: Json | None = None) -> str:
        """Trigger through REST, as the UI's form does. Returns the run's id."""
        body = {"logical_date": None, "partition_key": key, "conf": conf or {}}
        return str(self.api.call("POST", f"/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def command(self, *arguments: str) -> None:
        """Run Airflow's command line against this stack."""
        subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=os.environ | laptop.own_environment(self.home, self.state),
            check=True,
            capture_output=True,
            timeout=120,
        )

    def runs(self, dag: str, key: str | None) -> list[Json]:
        """The runs of a DAG for a partition, oldest first."""
        found = self.api.pages(f"/dags/{dag}/dagRuns", "dag_runs")
        return sorted((r for r in found if r["partition_key"] == key), key=lambda r: str(r["queued_at"]))

    def ended(self, dag: str, run_id: str, state: str = "success", seconds: float = 240) -> Json:
        """Wait for the end of a run, which must be ``state``."""

        def look() -> Json | None:
            run: Json = self.api.call("GET", f"/dags/{dag}/dagRuns/{run_id}")
            return run if run["state"] in ENDED else None

        run = wait_for(look, seconds, why=f"the end of {dag} {run_id}")
        assert run["state"] == state, (dag, self.states(dag, run_id))
        return run

    def next_ended(
        self, dag: str, key: str, known: int = 0, state: str = "success", seconds: float = 240
    ) -> Json:
        """Wait for the end of the run of a partition that comes after ``known`` earlier ones."""
        runs = wait_for(lambda: self.runs(dag, key)[known:], seconds, why=f"a run of {dag} for {key}")
        return self.ended(dag, runs[0]["dag_run_id"], state, seconds)

    def tasks(self, dag: str, run_id: str) -> dict[str, Json]:
        """Task id → task instance."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances"
        return {t["task_id"]: t for t in self.api.pages(path, "task_instances")}

    def states(self, dag: str, run_id: str) -> dict[str, str]:
        """Task id → state."""
        return {name: t["state"] for name, t in self.tasks(dag, run_id).items()}

    def task_in(self, dag: str, run_id: str, task: str, *states: str) -> Json:
        """Wait until a task is in one of these states."""

        def look() -> Json | None:
            found = self.tasks(dag, run_id)[task]
            return found if found["state"] in states else None

        return wait_for(look, why=f"{dag} {task} in {states}")

    def log(self, dag: str, run_id: str, task: str, attempt: int = 1) -> str:
        """The text of a task's log."""
        return str(self._content(dag, run_id, task, attempt))

    def entries(self, dag: str, run_id: str, task: str, attempt: int = 1) -> list[Json]:
        """The entries of a task's log: ``level``, ``event``."""
        return [e for e in self._content(dag, run_id, task, attempt) if isinstance(e, dict)]

    def _content(self, dag: str, run_id: str, task: str, attempt: int) -> list[Any]:
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}"
        content: list[Any] = self.api.call("GET", path, params={"full_content": True})["content"]
        return content

    def result(self, dag: str, run_id: str, task: str) -> Json:
        """What a task has returned, or a failed one has pushed in its place."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        value: Json = self.api.call("GET", path)["value"]
        return value

    def events(self, asset: str, key: str) -> list[Json]:
        """The events of an asset for a partition, oldest first."""
        ids = [a["id"] for a in self.api.pages("/assets", "assets") if a["name"] == asset]
        found = self.api.pages("/assets/events", "asset_events", asset_id=ids[0])
        return sorted((e for e in found if e["partition_key"] == key), key=lambda e: int(e["id"]))

    def pause(self, dag: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.api.call("PATCH", f"/dags/{dag}", json={"is_paused": paused})

    @contextmanager
    def locked(self, table: str, mode: str) -> Iterator[None]:
        """Hold a table's lock, so that a task stops at a known place."""
        with self.lakehouse.homes.engine.begin() as conn:
            conn.exec_driver_sql(f"lock table {table} in {mode} mode")
            yield

    def blocked_in_postgres(self) -> bool:
        """Whether a task waits for a lock."""
        waiting = "application_name = 'lakehouse-airflow' and wait_event_type = 'Lock'"
        return bool(self.lakehouse.value(f"select count(*) from pg_stat_activity where {waiting}"))


def like(orchestra: Orchestra, token: str, role: str | None) -> str:
    """A token as Airflow would give to somebody with another role."""
    options = {"verify_signature": False, "verify_aud": False}
    known = jwt.decode(token, options=options)  # type: ignore[arg-type]
    kind = jwt.get_unverified_header(token)
    return jwt.encode(
        {**known, "role": role},
        orchestra.state.jwt_secret,
        kind["alg"],
        {"kid": kind["kid"]} if "kid" in kind else None,
    )
