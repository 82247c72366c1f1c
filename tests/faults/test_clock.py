"""Clocks jump: of Postgres by days, between all steps; of a worker. Rows, turns and sweeps do not go by them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from lakehouse.contract.model import LAYERS
from lakehouse.layer.turns import ask_for_turn, to_wake

from ..support.aftermath import Rows
from ..support.lakehouse import Lakehouse
from ..support.mortal import MortalPostgres
from ..support.olist import NEXT_DAY
from ..support.zygote import Zygote
from .conftest import Victim

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]

#: Debian's and Ubuntu's package `libfaketime`.
_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@dataclass
class Clock:
    """A clock that jumps for whoever is started with ``environment``."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that goes by this clock."""
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
        }

    def jump(self, offset: str) -> None:
        """To so much before or after the true time, such as ``+2d``."""
        draft = self.file.with_suffix(".new")
        draft.write_text(offset + "\n")
        draft.chmod(0o644)
        draft.rename(self.file)


@pytest.fixture
def clock(server_folder: Path) -> Clock:
    """A clock that is right so far."""
    if not _LIBRARIES:
        pytest.skip(
            "NOT TESTED: jumps of the clock. Install libfaketime (Debian, Ubuntu: apt install libfaketime)."
        )
    made = Clock(server_folder / "clock")
    made.jump("+0d")
    return made


@pytest.fixture
def jumping(clock: Clock, mortal_pg: MortalPostgres) -> Iterator[Clock]:
    """The clock of Postgres."""
    mortal_pg.restart(clock.environment)
    yield clock
    mortal_pg.restart()


def days_ahead(lakehouse: Lakehouse) -> float:
    """How far the clock of Postgres is from ours."""
    with psycopg2.connect(lakehouse.environment()["LAKEHOUSE_PG_DSN"]) as conn, conn.cursor() as cursor:
        cursor.execute("select extract(epoch from clock_timestamp())")
        seconds = float(cursor.fetchone()[0])  # type: ignore[index]
    return (seconds - time.time()) / 86400


def test_the_clock_of_postgres_jumps_between_all_steps(
    victim: Victim, jumping: Clock, undisturbed: Rows
) -> None:
    offsets = iter(["+2d", "-2d"] * 8)
    for layer in LAYERS:
        for step in ("plan", "stage", "gate", "publish"):
            jumping.jump(offset := next(offsets))
            assert round(days_ahead(victim.lakehouse)) == int(offset[:-1])
            if step == "stage":
                victim.stage(layer)
            else:
                victim.do(step, layer)
    # What was published in the future is taken up and done with: there is nothing to do for anybody.
    assert (
        victim.lakehouse.query("select * from ops.open_partition where partition_key = :k", k=NEXT_DAY) == []
    )
    runs = "select count(*) from ops.run"
    known = victim.lakehouse.value(runs)
    victim.finish()
    assert victim.lakehouse.value(runs) == known
    victim.assert_healed(undisturbed)


def test_a_sweep_takes_nothing_from_a_run_under_way_when_the_clock_jumps(
    victim: Victim, jumping: Clock, undisturbed: Rows
) -> None:
    victim.layer("bronze")
    victim.do("plan", "silver")
    victim.stage("silver")
    staged = "select count(*) from ops.lake_file where status = 'staged' and layer = 'silver'"
    waiting = victim.lakehouse.value(staged)
    assert waiting > 0
    for offset in ("+2d", "-2d"):
        jumping.jump(offset)
        # Another day of the same source sweeps, too.
        victim.lakehouse.run_layer("bronze", NEXT_DAY)
        assert victim.lakehouse.value(staged) == waiting
    victim.finish("gate", "silver")
    victim.assert_healed(undisturbed)


def test_turns_and_wake_up_calls_do_not_wait_for_a_clock_that_was_wrong(
    victim: Victim, jumping: Clock
) -> None:
    lakehouse = victim.lakehouse

    def asks(run: str, key: str) -> list[str]:
        with lakehouse.homes.engine.begin() as conn:
            return ask_for_turn(conn, "olist", "silver", run, key, {"first", "second", "third"}.__contains__)

    jumping.jump("+2d")
    assert asks("first", NEXT_DAY) == []
    victim.layer("bronze")  # its event is lost
    jumping.jump("-2d")
    assert asks("second", "2018-03-01") == ["first"]  # whoever works is not interrupted
    assert asks("third", NEXT_DAY) == ["first", "second"]  # the oldest partition, not the oldest question
    with lakehouse.homes.engine.connect() as conn:
        assert to_wake(conn, "olist", "silver") == NEXT_DAY


def test_a_worker_with_a_wrong_clock(
    victim: Victim, clock: Clock, tmp_path_factory: pytest.TempPathFactory, undisturbed: Rows
) -> None:
    true, victim.zygote = victim.zygote, Zygote(tmp_path_factory.mktemp("skewed"), clock.environment)
    try:
        # The store refuses what seems to be hours away; and that is told.
        clock.jump("+2d")
        told = victim.fails("plan", "bronze")
        assert "The clocks of this machine and of the object store at http://" in told
        assert "→ Set both clocks by a time server" in told
        # Minutes do not matter.
        for layer, offset in zip(LAYERS, ("+10m", "-10m", "+10m"), strict=True):
            clock.jump(offset)
            victim.layer(layer)
    finally:
        victim.zygote.end()
        victim.zygote = true
    victim.assert_healed(undisturbed)
