"""When to change a part: measured figures against the thresholds of growth (``SDS.md``, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

GB = 1e9
#: A threshold counts when it is passed for so long, not once.
LASTING = timedelta(days=14)
#: So many measurements at least.
_ENOUGH = 3
#: Closer than this share of a threshold is near.
_NEAR = 0.5
_FORESEEN = timedelta(days=3650)
#: A slope through fewer days says nothing.
_TREND_DAYS = 1.0


class Verdict(StrEnum):
    """How a measure stands to its threshold."""

    unknown = "not measured"
    far = "far below"
    near = "near"
    once = "passed, not for long"
    passed = "passed"


@dataclass(frozen=True)
class Measure:
    """What is measured, from where on it matters, and what to do then. Costs are estimates, per month."""

    name: str
    title: str
    unit: str
    threshold: float
    #: Above it there is no doubt; the same as the threshold where that is one number.
    upper: float
    first: str
    engine: str
    cost: str
    #: What the figure is, and what it is not.
    basis: str


_SERVER = "500 to 1,500 €"
_SPLIT = "5,000 to 15,000 €"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "kpi_p95_seconds", "KPI query, p95", "s", 30, 30,
        "an index, a mart, a replica", "a column store or Trino over the gold lake tables", _SPLIT,
        "the questions in sql/kpi, asked now as the analyst, one at a time",
    ),
    Measure(
        "warehouse_bytes", "warehouse size", "GB", 200 * GB, 300 * GB,
        "retention; events in the lake only", "facts leave Postgres for Trino or a column store, marts stay", _SPLIT,
        "tables of the warehouse with their indexes",
    ),
    Measure(
        "readers_active", "concurrent users", "", 10, 20,
        "a connection pool, a replica", "a column store", _SERVER,
        "sessions of the analyst that were asking at the moments of the samples, every five minutes",
    ),
    Measure(
        "queries_per_day", "scheduled queries a day", "", 100, 100,
        "marts for what they repeat", "Spark or Trino on the lake", _SPLIT,
        "tables that runs of this system computed; what BI tools schedule is not seen",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What was found out about a measure."""

    #: None: it could not be measured.
    now: float | None
    #: Growth a day, None: not known yet.
    per_day: float | None = None
    #: Since when every measurement was above the threshold, and how many these were.
    above_since: datetime | None = None
    above_count: int = 0
    #: The figure is an average or a percentile of days: once is for long.
    is_lasting: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Advice:
    """A line of the answer."""

    measure: Measure
    known: Known
    verdict: Verdict
    #: When the threshold is passed if growth goes on as it does.
    passed_on: datetime | None

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to think about."""
        return self.verdict is Verdict.far

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return {
            "measure": self.measure.name,
            "now": self.known.now,
            "threshold": self.measure.threshold,
            "upper": self.measure.upper,
            "verdict": self.verdict.value,
            "per_day": self.known.per_day,
            "passed_on": self.passed_on.date().isoformat() if self.passed_on else None,
            "first": self.measure.first,
            "next_engine": self.measure.engine,
            "estimated_cost_per_month": self.measure.cost,
            "basis": self.measure.basis,
            "detail": self.known.detail,
        }


def judge(measure: Measure, known: Known, now: datetime | None = None) -> Advice:
    """How a measure stands to its threshold, and when it will have passed it."""
    now = now or datetime.now(UTC)
    return Advice(measure, known, _verdict(measure, known, now), _passed_on(measure, known, now))


def _verdict(measure: Measure, known: Known, now: datetime) -> Verdict:
    if known.now is None:
        return Verdict.unknown
    if known.now < measure.threshold * _NEAR:
        return Verdict.far
    if known.now < measure.threshold:
        return Verdict.near
    since = known.above_since
    lasts = since is not None and now - since >= LASTING and known.above_count >= _ENOUGH
    return Verdict.passed if known.is_lasting or lasts else Verdict.once


def _passed_on(measure: Measure, known: Known, now: datetime) -> datetime | None:
    if known.now is None or not known.per_day or known.per_day <= 0 or known.now >= measure.threshold:
        return None
    days = (measure.threshold - known.now) / known.per_day
    return now + timedelta(days=days) if days <= _FORESEEN.days else None


def trend(per_day: float | None, first_at: datetime | None, last_at: datetime | None) -> float | None:
    """Growth a day, when there are samples of a day at least."""
    if per_day is None or first_at is None or last_at is None:
        return None
    return per_day if (last_at - first_at) / timedelta(days=1) >= _TREND_DAYS else None
