"""Processes that work on the same thing at the same time, or come back after they were given up."""

from __future__ import annotations

import signal

import pytest

from ..support.aftermath import Rows
from ..support.zygote import Point
from .conftest import Victim

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]


def both(victim: Victim, step: str, layer: str, table: str = "") -> list[tuple[int, str]]:
    """The same step twice at once; exit codes and what they tell."""
    tasks = [victim.start(step, layer, table) for _ in range(2)]  # type: ignore[arg-type]
    return [(task.wait(), task.told) for task in tasks]


def test_every_step_twice_at_once(victim: Victim, undisturbed: Rows) -> None:
    for layer in ("bronze", "silver", "gold"):
        order = ",".join(victim.lakehouse.project.stage_order("olist", layer))
        for step, tables in (("plan", ""), ("stage", order), ("gate", ""), ("publish", "")):
            for code, told in both(victim, step, layer, tables):
                # One of them may be told that the other is at work, never anything else.
                assert code == 0 or "StaleStage" in told or "Unreachable" in told, told
            if step == "stage":
                victim.stage(layer)
            else:
                victim.do(step, layer)
    victim.finish()
    victim.assert_healed(undisturbed)


def test_layers_beside_each_other_read_what_they_have_pinned(victim: Victim, undisturbed: Rows) -> None:
    """All of gold is worked out again while silver of the next day is published."""
    order = victim.lakehouse.project.stage_order
    victim.layer("bronze")
    victim.do("plan", "silver")
    victim.do("plan", "gold", "everything")
    together = [
        [
            ("stage", "silver", ",".join(order("olist", "silver"))),
            ("stage", "gold", ",".join(order("olist", "gold"))),
        ],
        [("gate", "silver", ""), ("gate", "gold", "")],
        [("publish", "silver", ""), ("publish", "gold", "")],
    ]
    before = victim.seen()["gold"][0]
    for steps in together:
        tasks = [victim.start(step, layer, tables) for step, layer, tables in steps]  # type: ignore[arg-type]
        assert [task.wait() for task in tasks] == [0, 0], "".join(task.told for task in tasks)
    # Gold is what it was made from, not what silver has become meanwhile.
    assert victim.seen()["gold"][0] == before
    victim.finish("plan", "gold")
    victim.assert_healed(undisturbed)


def test_a_task_that_was_given_up_and_goes_on_changes_nothing(victim: Victim, undisturbed: Rows) -> None:
    victim.do("plan", "bronze")
    stuck = Point("before", "lakehouse.layer.ledger:mark_staged", sends=signal.SIGSTOP)
    old = victim.start("stage", "bronze", "olist_orders", stuck)
    assert old.stopped(), old.told
    victim.stage("bronze")  # the next try does not wait for it
    old.send(signal.SIGCONT)
    assert old.wait() != 0
    victim.do("gate", "bronze")
    late = victim.start(
        "publish", "bronze", point=Point("before", "lakehouse.layer.flow:_publish", sends=signal.SIGSTOP)
    )
    assert late.stopped(), late.told
    victim.do("publish", "bronze")
    served = victim.seen()
    late.send(signal.SIGCONT)
    assert late.wait() == 3
    assert "StaleStage" in late.told
    assert victim.seen() == served
    victim.finish("plan", "silver")
    victim.finish()
    victim.assert_healed(undisturbed)
