"""One way to say which day: what the form's field *Day* says becomes the run's own partition key, and part of its id.

Airflow's form has a field for the partition key too, out of sight under *Advanced Options*, and lets people trigger
without it. So the DAGs have a param, which the form shows first. A run's own key cannot be told from a DAG; this
middleware of Airflow's API server does that when a run is triggered, by the form, by REST, or by a task. A trigger that
does not say which day is refused with what to do, before there is a run that fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from lakehouse.contract.model import LAYERS
from lakehouse.contract.project import source_names
from lakehouse.orchestrate.partition import KEY_PARAM, how_to_say, is_key

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Where runs are triggered: by people and programs, and by tasks (TriggerDagRunOperator).
_PUBLIC = re.compile(r"/api/v2/dags/(?P<dag>[^/]+)/dagRuns/?$")
_BY_TASK = re.compile(r"/execution/dag-runs/(?P<dag>[^/]+)/[^/]+/?$")


class Refused(Exception):
    """The trigger does not say which day, or not in one way."""


class PartitionKeyOnce:
    """ASGI middleware: a trigger of a layer's DAG has one partition key, wherever it was written.

    Whoever shows no credentials is passed on, for Airflow to refuse.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Change the body of a trigger, or answer 400."""
        path = str(scope.get("path", "")) if scope["type"] == "http" and scope["method"] == "POST" else ""
        found = _PUBLIC.search(path) or _BY_TASK.search(path)
        if not found or not _has_credentials(scope) or not is_ours(found["dag"]):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        by_people = found.re is _PUBLIC
        try:
            body = json.dumps(with_key(json.loads(body), found["dag"], named=by_people)).encode()
        except Refused as error:
            await _refuse(send, str(error), plain=by_people)
            return
        except (ValueError, AttributeError, TypeError):
            pass  # not a trigger that Airflow would take; it says why
        await self._app(_with_length(scope, len(body)), _replayed(body, receive), send)


def with_key(trigger: dict[str, Any], dag_id: str, *, named: bool) -> dict[str, Any]:
    """A trigger's body with the partition key in its place; ``named``: and in the run's id, unless that is given.

    Raises:
        Refused: it says no day, no date, or two different days.
    """
    asked = [key for key in (trigger.get("partition_key"), (trigger.get("conf") or {}).get(KEY_PARAM)) if key]
    if not asked:
        raise Refused(f"Which day shall {dag_id} run for? {how_to_say(dag_id)}")
    key = asked[0]
    if not all(map(is_key, asked)):
        raise Refused(
            f"{dag_id} runs for a day, written as YYYY-MM-DD, not for {', '.join(map(repr, asked))}."
        )
    if len(set(asked)) > 1:
        raise Refused(
            f"Which day shall {dag_id} run for: {' or '.join(asked)}? Leave out the one under Advanced Options."
        )
    told = trigger | {"partition_key": key}
    if named and not trigger.get("dag_run_id"):
        told["dag_run_id"] = f"manual__{key}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return told


def is_ours(dag_id: str) -> bool:
    """Whether a DAG is one of a layer."""
    return dag_id in {f"{source}_{layer}" for source in source_names() for layer in LAYERS}


def _has_credentials(scope: Message) -> bool:
    return any(name in (b"authorization", b"cookie") for name, _ in scope["headers"])


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Hand out the body once, then whatever comes (that the client has gone)."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _with_length(scope: Message, length: int) -> Message:
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


async def _refuse(send: Send, why: str, *, plain: bool) -> None:
    detail: Any = why if plain else {"reason": "value_error", "message": why}
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
