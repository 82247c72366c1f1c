"""The page shown beside each DAG, for whoever is on call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.contract.model import Layer

#: Runbook → the situation it is for, and the layers that know this situation.
RUNBOOKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no-delivery": ("a day has no delivery, or it came late", ("bronze",)),
    "broken-file": ("a landed file is broken (`FileDefect`)", ("bronze",)),
    "gate-blocked": ("the gate blocked a partition (`GateFailed`)", ("bronze", "silver", "gold")),
    "stale-stage": (
        "another run was at work (`StaleStage`), or a run waits for its turn",
        ("bronze", "silver", "gold"),
    ),
    "task-killed": (
        "a task was killed, timed out, or the machine went down",
        ("bronze", "silver", "gold"),
    ),
    "partition-did-not-travel": (
        "a layer was published but the next one did not run",
        ("silver", "gold"),
    ),
    "rerun-and-backfill": (
        "run a partition, a range of days, or one table again",
        ("bronze", "silver", "gold"),
    ),
}

_WHAT = {
    "bronze": """\
Waits for `landing/$source/dt=<day>/_manifest.json`, reads every file of that delivery as text into the
stage of both homes (Iceberg `bronze`, Postgres `raw`), audits it, publishes it by one COMMIT, and emits
`$source/bronze` for the day. A day without a delivery ends as skipped; that is not a failure.""",
    "silver": """\
Wakes up when `$source/bronze` is published for a day. Renames, casts, deduplicates and splits off refused
rows as the contracts say, audits the result, publishes Iceberg `silver` and Postgres `ods` by one COMMIT,
and emits `$source/silver`. Takes up days it missed, from the ledger.""",
    "gold": """\
Wakes up when `$source/silver` is published for a day. Recomputes the gold tables for what changed only,
audits them, publishes Iceberg `gold` and Postgres `gold` by one COMMIT, and emits `$source/gold`.""",
}

_TRIGGER = """\
trigger with *Partition Key* `D` (form: Advanced Options; REST: `partition_key`; command line:
`airflow dags trigger ${source}_$layer --conf '{"partition_key": "D"}'`)"""
_AGAIN = {
    "bronze": f"""\
backfill the day (UI: *Backfill*, reprocess all runs; or `lakehouse run $source --from D --to D`; or
`airflow backfill create --dag-id ${{source}}_bronze --from-date D --to-date D
--reprocess-behavior completed`), or {_TRIGGER}.""",
    "silver": f"""\
{_TRIGGER}. A DAG that waits for an asset cannot be backfilled: backfill `${{source}}_bronze`, the partition
travels from there.""",
}
_AGAIN["gold"] = _AGAIN["silver"]

_RUNS = {
    "bronze": """\
Up to $max_runs runs are open at once, because some only wait for their delivery; one works at a time, the
others wait in `plan` for their turn. In a backfill of many days set *Max Active Runs* to 1: the days are
then taken in order, which is less work for silver.""",
    "silver": """\
`max_active_runs` is 1: a later delivery's rows win over an earlier one's, so days are merged one after the
other; of two runs at once, the one that publishes later would be overtaken. The param `reconform` judges all of
bronze again, after a contract's rules have changed (`lakehouse run $source --reconform`).""",
    "gold": """\
`max_active_runs` is 1: a run recomputes for whatever silver published since the last one, so a second at the
same time would only be overtaken. The param `full_refresh` recomputes everything.""",
}

_PAGE = """\
## $source · $layer

$summary

**What it does.** $what

**Impact of failure.** $impact What was published before is still served. Owner: $owner.

**First look**

1. The red task names the place: `wait_for_delivery` (S3), `plan` (ledger), `stage.<table>` (that table),
   `gate` (a rule), `publish` (the COMMIT). Its log ends with what happened and, after `→`, what to do.
2. Nothing half-done is visible: readers see the last publish. There is nothing to clean up before a rerun.
3. What the gate found, also when it passed: `ops.quality_result`. What became of
   every batch: `ops.batch`, `ops.accounted`.

**How to rerun**

* One table: clear its `stage.<table>` task *with downstream*. Everything: clear `plan` *with downstream*.
* A day `D` (YYYY-MM-DD) again: $again
* Every step is safe to repeat. A day that is published already writes nothing and tells its event again.
* $runs

**Runbooks**

$links
"""


@dataclass(frozen=True)
class Situation:
    """What the page needs to know of a DAG."""

    source: str
    layer: Layer
    summary: str
    impact: str
    owner: str
    max_runs: int


def page(it: Situation) -> str:
    """The DAG's manual in Markdown."""
    words = {"source": it.source, "layer": it.layer, "max_runs": str(it.max_runs)}
    texts = {"what": _WHAT, "again": _AGAIN, "runs": _RUNS}
    filled = {name: Template(by_layer[it.layer]).substitute(words) for name, by_layer in texts.items()}
    links = [f"* {what}: {_link(name)}" for name, (what, layers) in RUNBOOKS.items() if it.layer in layers]
    return Template(_PAGE).substitute(
        words, **filled, summary=it.summary, impact=it.impact, owner=it.owner, links="\n".join(links)
    )


_CATCH_UP = """\
## $source · catch up

**What it does.** Airflow hands an event only to DAGs that are not paused at that moment. Every two minutes this DAG
asks the ledger whether silver or gold of $source has missed a partition, and tells the event again for the oldest
one, when the DAG that waits for it is not paused and idle. `wake_…` is skipped when nothing was missed, which is
the usual case.

**Impact of failure.** A layer that was paused stays behind until its next event. Owner: $owner.

**How to rerun.** No need: the next run looks again. Pausing this DAG is safe.

**Runbooks**

$links
"""


def catch_up_page(source: str, owner: str) -> str:
    """The manual of a source's catch-up DAG in Markdown."""
    what, _ = RUNBOOKS["partition-did-not-travel"]
    links = f"* {what}: {_link('partition-did-not-travel')}"
    return Template(_CATCH_UP).substitute(source=source, owner=owner, links=links)


def _link(name: str) -> str:
    """A link when ``LAKEHOUSE_DOCS_URL`` says where the documentation is served, else the file's name."""
    path = f"docs/runbooks/{name}.md"
    base = os.environ.get("LAKEHOUSE_DOCS_URL", "").rstrip("/")
    return f"[{path}]({base}/runbooks/{name}.md)" if base else f"`{path}`"
