"""A trigger says which day once; without one it is refused before there is a run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lakehouse.orchestrate.trigger import PartitionKeyOnce

DAY = "2018-10-17"
COOKIE = (b"cookie", b"_token=x")
PATH = "/api/v2/dags/olist_bronze/dagRuns"


class Api:
    """What stands behind the middleware: remembers what reaches it."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.length = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.length = dict(scope["headers"])[b"content-length"]
        assert self.length == str(len(body)).encode()
        self.received.append(json.loads(body) if body.startswith(b"{") else {"raw": body})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def post(
    body: dict[str, Any] | bytes, path: str = PATH, *, method: str = "POST", headers: Any = (COOKIE,)
) -> tuple[int, Any, Api]:
    """Status and detail of the answer, and what reached Airflow. The body comes in two pieces."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    half = len(raw) // 2
    pieces = [
        {"type": "http.request", "body": raw[:half], "more_body": True},
        {"type": "http.request", "body": raw[half:], "more_body": False},
    ]
    sent: list[Any] = []
    api = Api()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return pieces.pop(0)

    length = (b"content-length", str(len(raw)).encode())
    scope = {"type": "http", "method": method, "path": path, "headers": [*headers, length]}
    asyncio.run(PartitionKeyOnce(api)(scope, receive, send))
    answer = json.loads(sent[1]["body"] or b"{}")
    return sent[0]["status"], answer.get("detail"), api


def test_the_day_of_the_form_becomes_the_runs_own_key_and_part_of_its_id() -> None:
    status, _, api = post({"logical_date": None, "conf": {"partition_key": DAY, "rebuild": True}})
    assert status == 200
    (received,) = api.received
    assert received["partition_key"] == DAY
    assert received["dag_run_id"].startswith(f"manual__{DAY}__")
    assert received["conf"] == {"partition_key": DAY, "rebuild": True}


def test_a_key_of_its_own_and_an_id_stay() -> None:
    _, _, api = post({"partition_key": DAY, "dag_run_id": "mine"})
    assert api.received == [{"partition_key": DAY, "dag_run_id": "mine"}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ("Which day", "YYYY-MM-DD", "Day")),
        ({"conf": {"partition_key": None}}, ("Which day",)),
        ({"conf": {"partition_key": "17.10.2018"}}, ("YYYY-MM-DD", "17.10.2018")),
        ({"partition_key": "20181017"}, ("YYYY-MM-DD",)),
        ({"partition_key": DAY, "conf": {"partition_key": "2018-10-18"}}, (DAY, "or 2018-10-18")),
    ],
)
def test_what_does_not_say_one_day_is_refused_with_what_to_do(
    body: dict[str, Any], words: tuple[str, ...]
) -> None:
    status, detail, api = post(body)
    assert status == 400
    assert api.received == []
    assert all(word in detail for word in words)


def test_a_task_that_triggers_says_the_day_in_its_conf() -> None:
    status, _, api = post({"conf": {"partition_key": DAY}}, "/execution/dag-runs/olist_bronze/landed__1")
    assert status == 200
    assert api.received == [{"conf": {"partition_key": DAY}, "partition_key": DAY}]
    status, detail, _ = post({}, "/execution/dag-runs/olist_bronze/landed__1")
    assert (status, detail["reason"]) == (400, "value_error")


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/api/v2/dags/somebody_gold/dagRuns", {}),
        ("/api/v2/dags/olist_catch_up/dagRuns", {}),
        ("/api/v2/dags/olist_bronze/clearTaskInstances", {}),
        (PATH, {"headers": ()}),
        (PATH, {"method": "GET"}),
    ],
)
def test_nothing_else_is_touched(path: str, given: dict[str, Any]) -> None:
    body = {"logical_date": None}
    status, _, api = post(json.dumps(body).encode(), path, **({"headers": (COOKIE,)} | given))
    assert status == 200
    assert api.received == [body]


def test_a_body_that_is_no_trigger_is_left_to_airflow() -> None:
    status, _, api = post(b"no json", PATH)
    assert (status, api.received) == (200, [{"raw": b"no json"}])
