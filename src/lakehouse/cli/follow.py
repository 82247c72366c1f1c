"""Follow partitions through a source's three DAGs, over Airflow's REST API.

Whether a layer has told its event is read off its task ``publish``: it succeeds with the event, and is skipped without.
Airflow's own list of events cannot be asked: it answers 500 as long as a run that an event has made is queued.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.contract.model import LAYERS, Layer
from lakehouse.errors import LakehouseError, StackError

if TYPE_CHECKING:
    from lakehouse.cli.progress import Mark, RichReporter, Step
    from lakehouse.cli.run_summary import Summary
    from lakehouse.stack.airflow_api import AirflowApi

_POLL_SECONDS = 1.0
#: How long a consumer may take to start after its event; the scheduler looks every few seconds.
_EVENT_SECONDS = 180.0
#: After this time without it: is its DAG paused?
_PAUSED_SECONDS = 5.0
#: Runs under way at a time: enough for every worker. A look costs a request for each of them, and people who
#: interrupt are left with these only.
_AT_ONCE = 8
#: How long a new DAG file may take to be parsed.
_PARSE_SECONDS = 120.0


@dataclass(frozen=True)
class Failure:
    """A task that failed, and what it said."""

    partition_key: str
    dag_id: str
    task_id: str
    message: str

    @property
    def headline(self) -> str:
        """One line naming the place."""
        return f"{self.dag_id} failed for {self.partition_key} in task {self.task_id}:"


@dataclass(frozen=True)
class Outcome:
    """What became of the partitions.

    ``unchanged``: run through, but no layer had anything to do. ``skipped``: partition key → why nothing was run.
    ``seconds`` is per layer, summed over runs; ``task_seconds`` per layer and task. ``summary``: what the ledger knows.
    """

    partitions: list[str]
    unchanged: list[str]
    skipped: dict[str, str]
    failures: list[Failure]
    seconds: dict[str, float]
    task_seconds: dict[str, dict[str, float]]
    summary: Summary | None = None

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


@dataclass
class _Partition:
    """One partition on its way."""

    key: str
    run_id: str
    since: datetime
    layer: int = 0
    #: When the previous layer's run ended; the next one's run is awaited from then on.
    waiting_from: float | None = None
    #: A layer had something to do.
    worked: bool = False
    step: Step | None = None
    shown: ExitStack = field(default_factory=ExitStack)

    def show(self, text: str) -> None:
        """What is being done."""
        if self.step:
            self.step(text)

    def end(self, mark: Mark, text: str) -> None:
        """Close its line."""
        if self.step:
            self.step.mark = mark
            self.step(text)
        self.shown.close()


class Follower:
    """Triggers a source's partitions and follows every one of them to gold."""

    def __init__(
        self,
        api: AirflowApi,
        source: str,
        reporter: RichReporter,
        *,
        first: Layer = LAYERS[0],
        params: dict[str, Any] | None = None,
        published: Callable[[str], str] = lambda _: "published",
    ) -> None:
        """``first``: the layer whose DAG is triggered, with ``params``. ``published``: what the ledger says of a
        partition that has come to its end."""
        self._api, self._source, self._reporter = api, source, reporter
        self._first, self._params, self._published = LAYERS.index(first), params or {}, published
        self._failures: list[Failure] = []
        self._unchanged: list[str] = []
        self._skipped: dict[str, str] = {}
        self._task_seconds: dict[str, dict[str, float]] = {layer: {} for layer in LAYERS}
        self._seconds: dict[str, float] = dict.fromkeys(LAYERS, 0.0)

    def wait_until_known(self) -> None:
        """Wait until Airflow has parsed the source's DAGs (a few seconds after `up`).

        Raises:
            StackError: a DAG is missing; shows import errors.
        """
        deadline = time.monotonic() + _PARSE_SECONDS
        missing = [self._dag(layer) for layer in LAYERS]
        while missing := [dag for dag in missing if not self._api.exists(f"/dags/{dag}")]:
            errors = [entry["stack_trace"] for entry in self._api.pages("/importErrors", "import_errors")]
            if errors or time.monotonic() > deadline:
                raise StackError(
                    f"Airflow does not know {', '.join(missing)}.\n{''.join(errors)[-3000:]}".strip(),
                    "Mend the DAG file; `lakehouse logs airflow-dag-processor` tells more.",
                )
            time.sleep(_POLL_SECONDS)

    def run(self, keys: list[str]) -> Outcome:
        """Trigger the keys, in their order and some at a time, and follow them to their end."""
        waiting, under_way = deque(keys), list[_Partition]()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < _AT_ONCE:
                    under_way.append(self._trigger(waiting.popleft()))
                under_way = [partition for partition in under_way if not self._advance(partition)]
                if under_way:
                    # Each look costs the API server some 50 ms, which the work itself could use.
                    time.sleep(_POLL_SECONDS * max(1.0, len(under_way) / 3))
        finally:
            for partition in under_way:
                partition.end("!", f"{LAYERS[partition.layer]} is not finished; it goes on in Airflow")
        return Outcome(
            keys, self._unchanged, self._skipped, self._failures, self._seconds, self._task_seconds
        )

    def _dag(self, layer: str) -> str:
        return f"{self._source}_{layer}"

    def _trigger(self, key: str) -> _Partition:
        since = datetime.now(UTC)
        dag = self._dag(LAYERS[self._first])
        if self._api.call("GET", f"/dags/{dag}")["is_paused"]:
            self._api.call("PATCH", f"/dags/{dag}", json={"is_paused": False})
        body: dict[str, Any] = {
            "logical_date": None,
            "partition_key": key,
            "conf": self._params,
            "note": "lakehouse run",
        }
        run = self._api.call("POST", f"/dags/{dag}/dagRuns", json=body)
        partition = _Partition(key, run["dag_run_id"], since, self._first)
        partition.step = partition.shown.enter_context(self._reporter.step(f"{self._source} {key}"))
        return partition

    def _advance(self, partition: _Partition) -> bool:
        """Look at a partition once; True when it is done or has failed."""
        layer = LAYERS[partition.layer]
        if partition.waiting_from is not None:
            run_id = self._next_run(partition)
            if run_id is None:
                return self._gave_up_waiting(partition)
            partition.run_id, partition.waiting_from = run_id, None
        run = self._api.call("GET", f"/dags/{self._dag(layer)}/dagRuns/{partition.run_id}")
        if run["state"] == "queued":
            partition.show(f"{layer}: queued")
            return False
        tasks = list(
            self._api.pages(
                f"/dags/{self._dag(layer)}/dagRuns/{partition.run_id}/taskInstances", "task_instances"
            )
        )
        if run["state"] not in ("success", "failed"):
            partition.show(_at_work(layer, tasks))
            return False
        self._count_seconds(layer, run, tasks)
        if run["state"] == "failed":
            failure = self._failure(partition, layer, tasks)
            self._failures.append(failure)
            partition.end(
                "✗", f"{layer} {'blocked by' if failure.task_id == 'gate' else 'failed in'} {failure.task_id}"
            )
            return True
        return self._to_next_layer(partition, {task["task_id"]: str(task["state"]) for task in tasks})

    def _count_seconds(self, layer: str, run: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
        self._seconds[layer] += float(run["duration"] or 0.0)
        spent = self._task_seconds[layer]
        for task in tasks:
            if task["duration"]:
                spent[task["task_id"]] = spent.get(task["task_id"], 0.0) + float(task["duration"])

    def _to_next_layer(self, partition: _Partition, states: dict[str, str]) -> bool:
        """Go on after a run that ended well; True when that was the partition's last."""
        layer = LAYERS[partition.layer]
        partition.worked = partition.worked or states.get("gate") == "success"
        if states.get("publish") != "success":
            undelivered = states.get("find_delivery") == "skipped"
            why = "no delivery" if undelivered else f"{layer} has never published anything of it"
            self._skipped[partition.key] = why
            partition.end("·", f"skipped: {why}")
            return True
        if layer != LAYERS[-1]:
            partition.layer += 1
            partition.waiting_from = time.monotonic()
            return False
        said = self._published(partition.key)
        if partition.worked:
            partition.end("✓", said)
        else:
            self._unchanged.append(partition.key)
            partition.end("·", f"nothing to do: {said}")
        return True

    def _next_run(self, partition: _Partition) -> str | None:
        """The run of the layer at hand that took up the partition's event (events may be coalesced)."""
        dag = self._dag(LAYERS[partition.layer])
        recent = self._api.call("GET", f"/dags/{dag}/dagRuns", params={"order_by": "-id", "limit": 100})
        for run in recent["dag_runs"]:
            queued = run["queued_at"]
            if run["partition_key"] == partition.key and queued and _moment(queued) >= partition.since:
                return str(run["dag_run_id"])
        return None

    def _gave_up_waiting(self, partition: _Partition) -> bool:
        layer = LAYERS[partition.layer]
        dag, waited = self._dag(layer), time.monotonic() - (partition.waiting_from or 0.0)
        partition.show(f"{layer}: waiting for its run")
        if waited < _PAUSED_SECONDS:
            return False
        if self._api.call("GET", f"/dags/{dag}")["is_paused"]:
            message = (
                f"{dag} is paused in Airflow, and the event waits for it. Unpause it; it runs by itself then."
            )
        elif waited < _EVENT_SECONDS:
            return False
        else:
            message = f"No run took up the event within {_EVENT_SECONDS:.0f} s; look at {dag} in Airflow."
        self._failures.append(Failure(partition.key, dag, "(none)", message))
        partition.end("!", f"{layer} has not begun")
        return True

    def _failure(self, partition: _Partition, layer: str, tasks: list[dict[str, Any]]) -> Failure:
        dag = self._dag(layer)
        failed = [task for task in tasks if task["state"] == "failed"]
        if not failed:
            return Failure(
                partition.key, dag, "(none)", "The run failed without a failed task; see Airflow's UI."
            )
        messages = [self._message(dag, partition.run_id, task) for task in failed]
        return Failure(partition.key, dag, ", ".join(map(_label, failed)), "\n".join(messages))

    def _message(self, dag: str, run_id: str, task: dict[str, Any]) -> str:
        """The last error in a task's log."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        try:
            answer = self._api.call(
                "GET", path, params={"map_index": task["map_index"], "full_content": True}
            )
        except LakehouseError as error:
            return error.message
        return last_error(answer["content"])


def last_error(entries: list[Any]) -> str:
    """The last exception of a structured task log, else its last error line, else its last lines."""
    for entry in reversed(entries):
        details = entry.get("error_detail") if isinstance(entry, dict) else None
        if details:
            return f"{details[0]['exc_type']}: {details[0]['exc_value']}"
    lines = [str(entry.get("event", "")) for entry in entries if isinstance(entry, dict)]
    errors = [
        str(entry.get("event", ""))
        for entry in entries
        if isinstance(entry, dict) and entry.get("level") in ("error", "critical")
    ]
    return "\n".join(errors[-1:] or lines[-10:])


def _at_work(layer: str, tasks: list[dict[str, Any]]) -> str:
    """``silver 3/14 stage.olist_orders``: how many tasks have ended, and those that have not but began."""
    done = sum(task["state"] in ("success", "skipped") for task in tasks)
    begun = [_label(task) for task in tasks if task["state"] == "running"]
    begun += [f"{_label(task)} (again soon)" for task in tasks if task["state"] == "up_for_retry"]
    begun += [
        f"{_label(task)} (waiting)" for task in tasks if task["state"] in ("deferred", "up_for_reschedule")
    ]
    return f"{layer} {done}/{len(tasks)} {', '.join(begun[:3])}{' …' if len(begun) > 3 else ''}".rstrip()


def _label(task: dict[str, Any]) -> str:
    index = task.get("rendered_map_index") or (task["map_index"] if task["map_index"] >= 0 else "")
    return f"{task['task_id']}[{index}]" if index != "" else str(task["task_id"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
