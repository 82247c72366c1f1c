"""Turns: one orchestrator run of a layer works at a time, oldest partition first, whoever is over stands in no way."""

from __future__ import annotations

import pytest

from lakehouse.contract.model import Layer
from lakehouse.layer.turns import ask_for_turn, forget_ended_turns

from ..support.lakehouse import Lakehouse

pytestmark = pytest.mark.servers


class Orchestrator:
    """Runs that ask for their turn; ``alive`` are those that are not over."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self.lakehouse = lakehouse
        self.alive: set[str] = set()

    def asks(self, run: str, key: str, layer: Layer = "bronze") -> list[str]:
        self.alive.add(run)
        with self.lakehouse.homes.engine.begin() as conn:
            return ask_for_turn(conn, "olist", layer, run, key, self.alive.__contains__)

    def line(self) -> list[tuple[str, bool]]:
        return self.lakehouse.query("select orchestrator_run, is_held from ops.turn order by asked_at")


@pytest.fixture
def orchestrator(lakehouse: Lakehouse) -> Orchestrator:
    return Orchestrator(lakehouse)


def test_turns_are_taken_oldest_partition_first(orchestrator: Orchestrator) -> None:
    assert orchestrator.asks("second", "2018-03-02") == []
    assert orchestrator.asks("fourth", "2018-03-04") == ["second"]
    assert orchestrator.asks("first", "2018-03-01") == ["second"]  # whoever works is not interrupted
    assert orchestrator.asks("third", "2018-03-03") == ["second", "first"]
    orchestrator.alive.remove("second")
    assert orchestrator.asks("fourth", "2018-03-04") == ["first", "third"]
    assert orchestrator.asks("first", "2018-03-01") == []
    orchestrator.alive.remove("first")
    assert orchestrator.asks("fourth", "2018-03-04") == ["third"]
    assert orchestrator.asks("third", "2018-03-03") == []


def test_asking_twice_changes_nothing(orchestrator: Orchestrator) -> None:
    assert [orchestrator.asks("a", "2018-03-02") for _ in range(2)] == [[], []]
    assert [orchestrator.asks("b", "2018-03-01") for _ in range(2)] == [["a"], ["a"]]
    assert orchestrator.line() == [("a", True), ("b", False)]
    assert orchestrator.asks("a", "2018-03-02") == []


def test_runs_that_are_over_leave_no_rows(orchestrator: Orchestrator) -> None:
    for number in range(1, 6):
        orchestrator.asks(f"run-{number}", f"2018-03-0{number}")
    orchestrator.alive = {"run-3"}
    assert orchestrator.asks("run-3", "2018-03-03") == []
    assert orchestrator.line() == [("run-3", True)]


def test_a_run_that_comes_back_queues_again(orchestrator: Orchestrator) -> None:
    orchestrator.asks("a", "2018-03-01")
    orchestrator.alive.remove("a")
    orchestrator.asks("b", "2018-03-02")
    assert orchestrator.asks("a", "2018-03-01") == ["b"]


def test_layers_have_turns_of_their_own(orchestrator: Orchestrator) -> None:
    assert orchestrator.asks("a", "2018-03-01", "bronze") == []
    assert orchestrator.asks("b", "2018-03-01", "silver") == []


def test_whoever_looks_around_takes_ended_runs_out_of_the_line(orchestrator: Orchestrator) -> None:
    for number in range(1, 4):
        orchestrator.asks(f"run-{number}", f"2018-03-0{number}")
    with orchestrator.lakehouse.homes.engine.begin() as conn:
        forget_ended_turns(conn, "olist", "bronze", {"run-2"}.__contains__)
    assert orchestrator.line() == [("run-2", False)]
