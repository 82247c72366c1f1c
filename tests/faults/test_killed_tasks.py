"""kill -9 of a task at named points of its way, and at any time: the same rows afterwards, and nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from lakehouse.contract.model import LAYERS, Layer

from ..support.aftermath import Rows
from ..support.olist import small_shop
from ..support.zygote import Point
from .conftest import Victim, next_delivery

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]

#: What a profiler sees of psycopg2's COMMIT; the last one of a publish comes after the run was marked.
COMMIT = "sqlalchemy.engine.default:DefaultDialect.do_commit"
MARKED = "lakehouse.layer.ledger:end_run"

LANDING = [
    Point("after", "lakehouse.landing.check:check_files"),
    Point("after", "lakehouse.landing.deliver:_Zone._upload", 4),
    Point("before", "lakehouse.landing.manifest:write_manifest"),
    Point("after", "lakehouse.landing.manifest:write_manifest"),
]

PLAN: dict[Layer, list[Point]] = {
    "bronze": [
        Point("after", "lakehouse.layer.ledger:close_runs"),
        Point("after", "lakehouse.layer.ledger:add_tables"),
        Point("before", "lakehouse.layer.bronze:Bronze.prepare"),
    ],
    "silver": [
        Point("before", "lakehouse.layer.ledger:pin_batches"),
        Point("before", "lakehouse.layer.steps:LayerSteps.prepare"),
    ],
    "gold": [
        Point("before", "lakehouse.layer.gold:Gold.prepare"),
        Point("after", "lakehouse.home.lake:announce", 2),
        Point("after", "lakehouse.home.lake:write", 2),
    ],
}

STAGE: dict[Layer, tuple[str, list[Point]]] = {
    "bronze": (
        "olist_orders",
        [
            Point("after", "lakehouse.layer.ledger:begin_attempt"),
            Point("before", "lakehouse.home.rows:copy_rows"),
            Point("before", "lakehouse.home.rows:_Feed.readinto", 2),
            Point("after", "pyarrow.parquet.core:ParquetWriter.write_batch"),
            Point("after", "copy_expert"),
            Point("before", "lakehouse.home.lake:written"),
            Point("before", "lakehouse.layer.stage:Stage.agree"),
            Point("before", "lakehouse.layer.ledger:mark_staged"),
            Point("after", "lakehouse.layer.ledger:mark_staged"),
            Point("after", COMMIT, armed_by="lakehouse.layer.ledger:mark_staged"),
        ],
    ),
    "silver": (
        "olist_orders",
        [
            Point("after", "lakehouse.layer.conformed:conform"),
            Point("before", "copy_expert"),
            Point("after", "lakehouse.layer.stage:Stage._changed"),
            Point("after", "lakehouse.layer.stage:Stage._carry"),
            Point("after", "lakehouse.layer.ledger:mark_accounted"),
        ],
    ),
    "gold": (
        "fact_order",
        [
            Point("after", "lakehouse.home.lake:fetch"),
            Point("after", "lakehouse.engine.difference:difference"),
            Point("before", "lakehouse.layer.stage:Stage.agree"),
            Point("before", COMMIT, armed_by="lakehouse.layer.ledger:mark_staged"),
        ],
    ),
}

GATE = [
    Point("before", "lakehouse.quality.gate:run_gate"),
    Point("after", "lakehouse.quality.gate:run_gate"),
    Point("after", "lakehouse.layer.audit:_record"),
    Point("after", "lakehouse.layer.ledger:mark_audited"),
]

UNSEEN = [
    Point("after", "lakehouse.home.iceberg:prepare_commit", 2),
    Point(
        "before", "lakehouse.layer.flow:_publish"
    ),  # all of Iceberg's metadata is written, the lock is not taken
    Point("after", "lakehouse.home.warehouse:lock", armed_by="lakehouse.layer.flow:_prepare"),
    Point("after", "lakehouse.home.iceberg:move_pointer", 2),
    Point("after", MARKED),
    Point("before", COMMIT, armed_by=MARKED),
]

SEEN: dict[Layer, Point] = {
    "bronze": Point("after", COMMIT, armed_by=MARKED),
    "silver": Point("after", "lakehouse.home.lake:delete_objects", armed_by=MARKED),
    "gold": Point("before", "lakehouse.layer.flow:event"),
}


def be_killed(victim: Victim, step: str, layer: Layer, point: Point, table: str = "") -> None:
    """The process gets to the point, and is gone."""
    task = victim.start(step, layer, table, point)
    assert task.wait() == -signal.SIGKILL, f"{step} {layer} never came to {point}:\n{task.told}"


def test_killed_while_it_lands_a_delivery_is_complete_or_invisible(victim: Victim, undisturbed: Rows) -> None:
    served = victim.seen()
    # Another one is there, which it supersedes.
    victim.lakehouse.land(small_shop(4).only_orders(1), "2018-03-02")
    for point in LANDING:
        assert victim.land(next_delivery(), point).wait() == -signal.SIGKILL, point
        if point != LANDING[-1]:
            # The old one as a whole, or none: never new files by the old manifest.
            task = victim.start("plan", "bronze")
            assert task.wait() in (0, 3), task.told
    assert victim.seen() == served
    assert victim.land(next_delivery()).wait() == 0
    victim.finish()
    victim.assert_healed(undisturbed)


@pytest.mark.parametrize("layer", LAYERS)
def test_killed_at_every_point_of_a_layer_the_next_try_ends_as_if_nothing_had_been(
    victim: Victim, undisturbed: Rows, layer: Layer
) -> None:
    for before in LAYERS[: LAYERS.index(layer)]:
        victim.layer(before)
    served = victim.seen()
    for point in PLAN[layer]:
        be_killed(victim, "plan", layer, point)
    victim.do("plan", layer)
    table, points = STAGE[layer]
    if victim.lakehouse.project.stage_order("olist", layer)[table]:
        victim.stage(layer)  # it needs others
    for point in points:
        be_killed(victim, "stage", layer, point, table)
        assert victim.seen() == served, point
        victim.do("stage", layer, table)  # as Airflow would
    victim.stage(layer)
    for point in GATE if layer == "silver" else GATE[-1:]:
        be_killed(victim, "gate", layer, point)
    victim.do("gate", layer)
    for point in UNSEEN:
        be_killed(victim, "publish", layer, point)
        assert victim.seen() == served, point
    if layer == "silver":
        # Somebody starts the partition afresh.
        victim.do("plan", layer)
        victim.stage(layer)
        victim.do("gate", layer)
    be_killed(victim, "publish", layer, SEEN[layer])
    after = victim.seen()
    assert after[layer] != served[layer]
    # The next try finds the COMMIT, tells the event and writes nothing.
    assert NEXT_KEY in victim.do("publish", layer)
    assert victim.seen() == after
    victim.finish()  # of this layer and those before it there is nothing to do
    victim.assert_healed(undisturbed)


NEXT_KEY = "'partition_key': '2018-03-02'"


def test_killed_at_any_time_the_next_try_ends_as_if_nothing_had_been(
    victim: Victim, undisturbed: Rows
) -> None:
    seed = int(os.environ.get("LAKEHOUSE_FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LAKEHOUSE_FAULTS_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance, killed = random.Random(seed), 0
    for layer in ("bronze", "silver", "gold"):
        order = victim.lakehouse.project.stage_order("olist", layer)
        steps = [("plan", ""), *(("stage", table) for table in order), ("gate", ""), ("publish", "")]
        for step, table in steps:
            if step != "stage" or chance.random() < 0.4:
                task = victim.start(step, layer, table)
                time.sleep(chance.uniform(0.05, 0.6))
                task.send(signal.SIGKILL)
                killed += task.wait() == -signal.SIGKILL
            victim.do(step, layer, table)
    assert killed > 5
    victim.finish()
    victim.assert_healed(undisturbed)
