"""What ``lakehouse advise`` finds out before it judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, text

from lakehouse.home.warehouse import take_sample
from lakehouse.monitor.advice import LASTING, MEASURES, Known, Measure, trend
from lakehouse.monitor.questions import Timing, percentile

_ABOVE = """
select min(m.measured_at), count(*) from ops.measurement as m
where m.measure = :m and m.measured_at > coalesce((
    select max(b.measured_at) from ops.measurement as b where b.measure = :m and b.value < :t
), '-infinity')
"""


def thresholds(given: Mapping[str, float | None]) -> list[Measure]:
    """The measures, their thresholds replaced by those that somebody has given."""
    return [
        replace(m, threshold=limit, upper=max(limit, m.upper) if m.upper > m.threshold else limit)
        if (limit := given.get(m.name)) is not None
        else m
        for m in MEASURES
    ]


def keep_timing(conn: Connection, timings: Sequence[Timing]) -> float | None:
    """Write down the p95 over all questions, and return it; None when no question has an answer."""
    seconds = [s for timing in timings for s in timing.seconds]
    if not seconds:
        return None
    p95 = percentile(seconds, 0.95)
    conn.execute(
        text("insert into ops.measurement (measure, value) values ('kpi_p95_seconds', :v)"), {"v": p95}
    )
    return p95


def measure(conn: Connection, measures: Sequence[Measure], timings: Sequence[Timing]) -> dict[str, Known]:
    """Measure → what is known of it. Writes down this moment's figures, as the loader."""
    take_sample(conn)
    p95 = keep_timing(conn, timings)
    limit = {m.name: m.threshold for m in measures}
    since, count = conn.execute(text(_ABOVE), {"m": "kpi_p95_seconds", "t": limit["kpi_p95_seconds"]}).one()
    size = conn.execute(text("select sum(bytes) from ops.metric_size where home = 'warehouse'")).scalar()
    growth = conn.execute(
        text("select per_day, first_at, last_at from ops.metric_growth where measure = 'warehouse_bytes'")
    ).one_or_none()
    work = conn.execute(text("select * from ops.metric_workload")).one()
    return {
        "kpi_p95_seconds": Known(p95, above_since=since, above_count=count, detail=_timed(timings)),
        "warehouse_bytes": Known(
            size, trend(*growth) if growth else None, is_lasting=True, detail=_grown(growth)
        ),
        "readers_active": Known(
            work.readers_active_p95,
            is_lasting=True,
            detail=f"p95 of {work.sample_count} samples of 7 days, at most {work.readers_active_max or 0:g}",
        ),
        "queries_per_day": Known(work.queries_per_day, is_lasting=True, detail="mean of 7 days"),
    }


def _timed(timings: Sequence[Timing]) -> str:
    asked = [t for t in timings if t.seconds]
    if not asked:
        return "no question of sql/kpi could be asked"
    slowest = max(asked, key=lambda t: percentile(t.seconds, 0.5))
    left = [t.question for t in timings if not t.seconds]
    told = (
        f"{len(asked)} questions, {len(asked[0].seconds)} times each; slowest: {slowest.question}, "
        f"median {percentile(slowest.seconds, 0.5):.2f} s"
    )
    return told + (f"; not asked, for want of tables: {', '.join(left)}" if left else "")


def _grown(growth: Sequence[object] | None) -> str:
    if growth is None or not isinstance(growth[1], datetime) or not isinstance(growth[2], datetime):
        return "no samples yet"
    days = (growth[2] - growth[1]).total_seconds() / 86400
    if days < 1:
        return "its growth is told when there are samples of a day"
    return f"samples of {days:.0f} days; {LASTING.days} or more make a better line"
