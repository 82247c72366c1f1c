"""Whose turn it is to work on a layer, and which layer has to be woken. Reads and writes ``ops.turn``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from lakehouse.contract.model import LAYERS, Layer
from lakehouse.home.warehouse import is_held, lock

#: Name of the lock that an erasure holds, by source.
ERASURE = "erasure"


def ask_for_turn(
    conn: Connection,
    source: str,
    layer: Layer,
    orchestrator_run: str,
    partition_key: str,
    is_alive: Callable[[str], bool],
) -> list[str]:
    """Give an orchestrator run its turn to work on a layer, when it is the first in line.

    First is whoever has the turn, then the oldest partition. Runs that are over (``is_alive`` says so) stand in
    nobody's way and are forgotten.

    While a person is being erased nobody gets a turn.

    Returns the runs before it; none when it is its turn.
    """
    queue = {"s": source, "l": layer, "r": orchestrator_run, "k": partition_key}
    lock(conn, source, layer, "turn")
    conn.execute(
        text(
            "insert into ops.turn (source, layer, orchestrator_run, partition_key) values (:s, :l, :r, :k) "
            "on conflict do nothing"
        ),
        queue,
    )
    line = _line(conn, source, layer)
    before, after = line[: line.index(orchestrator_run)], line[line.index(orchestrator_run) + 1 :]
    while before and not is_alive(before[0]):
        _leave_line(conn, source, layer, before.pop(0))
    if before:
        return before
    if is_held(conn, source, ERASURE):
        return ["the erasure of a person"]
    for other in after:
        if not is_alive(other):
            _leave_line(conn, source, layer, other)
    conn.execute(
        text("update ops.turn set is_held = true where source = :s and layer = :l and orchestrator_run = :r"),
        queue,
    )
    return []


def forget_ended_turns(conn: Connection, source: str, layer: Layer, is_alive: Callable[[str], bool]) -> None:
    """Take the runs that are over out of a layer's line."""
    lock(conn, source, layer, "turn")
    for run in _line(conn, source, layer):
        if not is_alive(run):
            _leave_line(conn, source, layer, run)


def at_work(conn: Connection, source: str) -> list[tuple[Layer, str, str]]:
    """(layer, orchestrator run, partition) of those that have the turn; some of them may have ended meanwhile."""
    for layer in LAYERS:
        lock(conn, source, layer, "turn")
    rows = conn.execute(
        text(
            "select layer, orchestrator_run, partition_key::text from ops.turn where source = :s and is_held order by 1"
        ),
        {"s": source},
    )
    return [(layer, run, key) for layer, run, key in rows]


def has_open_run(conn: Connection, source: str, layer: Layer, orchestrator_run: str) -> bool:
    """Whether what an orchestrator run was to make is planned and not yet published: for who cannot ask it."""
    return bool(
        conn.execute(
            text(
                "select exists (select 1 from ops.turn as t "
                "inner join ops.run as r using (source, layer, partition_key) "
                "where source = :s and layer = :l and t.orchestrator_run = :r "
                "and r.status in ('planned', 'audited'))"
            ),
            {"s": source, "l": layer, "r": orchestrator_run},
        ).scalar()
    )


def _line(conn: Connection, source: str, layer: Layer) -> list[str]:
    """The runs that have the turn or wait for it, in their order."""
    rows = conn.execute(
        text(
            "select orchestrator_run from ops.turn where source = :s and layer = :l "
            "order by is_held desc, partition_key, asked_at, orchestrator_run"
        ),
        {"s": source, "l": layer},
    )
    return list(rows.scalars())


def _leave_line(conn: Connection, source: str, layer: Layer, orchestrator_run: str) -> None:
    conn.execute(
        text("delete from ops.turn where source = :s and layer = :l and orchestrator_run = :r"),
        {"s": source, "l": layer, "r": orchestrator_run},
    )


def days_tried(conn: Connection, source: str, partition_keys: Sequence[str]) -> set[str]:
    """Those of some partitions that bronze has planned, whatever became of it."""
    rows = conn.execute(
        text(
            "select partition_key::text from ops.run where source = :s and layer = 'bronze' "
            "and partition_key = any(cast(:k as date[]))"
        ),
        {"s": source, "k": list(partition_keys)},
    )
    return set(rows.scalars())


def to_wake(conn: Connection, source: str, layer: Layer) -> str | None:
    """The oldest partition that has waited for a layer for a minute and that no run has tried; None: there is none.

    What the gate has blocked or what has failed is left to people; what another run overtook is tried again.
    """
    found: str | None = conn.execute(
        text(
            "select min(partition_key)::text from ops.open_partition where source = :s and layer = :l "
            "and status in ('pending', 'overtaken') "
            # What lies in the future was written down by a clock that was wrong.
            "and since not between clock_timestamp() - interval '1 minute' and clock_timestamp()"
        ),
        {"s": source, "l": layer},
    ).scalar()
    return found
