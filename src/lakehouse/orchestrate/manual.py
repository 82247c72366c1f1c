"""The page shown beside each DAG, for whoever is on call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.contract.model import Layer

#: Where the plugin serves Data Docs and the site, from the root of Airflow's own address.
PAGES = "/lakehouse"

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
Looks for `landing/$source/dt=<day>/_manifest.json`, reads every file of that delivery as text into the
stage of both homes (Iceberg `bronze`, Postgres `raw`), audits it, publishes it by one COMMIT, and emits
`$source/bronze` for the day. A day without a delivery ends as skipped; that is not a failure. When the delivery
comes within $wait_hours hours after the day's end (UTC), `${source}_catch_up` starts a run of its own.""",
    "silver": """\
Wakes up when `$source/bronze` is published for a day. Renames, casts, deduplicates and splits off refused
rows as the contracts say, audits the result, publishes Iceberg `silver` and Postgres `ods` by one COMMIT,
and emits `$source/silver`. Takes up days it missed, from the ledger.""",
    "gold": """\
Wakes up when `$source/silver` is published for a day. Recomputes the gold tables for what changed only,
audits them, publishes Iceberg `gold` and Postgres `gold` by one COMMIT, and emits `$source/gold`.""",
}

_TRIGGER = """\
*Trigger*, *Day* `D`, *Rebuild this partition* (REST: `partition_key` and `conf: {"rebuild": true}`; command line:
`airflow dags trigger ${source}_$layer --conf '{"partition_key": "D", "rebuild": true}'`)"""
_AGAIN = {
    "bronze": f"""\
{_TRIGGER}; silver and gold do the same after it. Many days: *Trigger*, *Backfill*, *All Runs*,
with *Rebuild this partition*.""",
    "silver": f"""\
{_TRIGGER}; the layers after it do the same. A DAG that waits for an asset cannot be backfilled: backfill
`${{source}}_bronze`, the partition travels from there.""",
}
_AGAIN["gold"] = _AGAIN["silver"]

_RUNS = {
    "bronze": """\
`max_active_runs` is 1. Runs of a backfill have a limit of their own, and wait in `plan` for their turn; set *Max
Active Runs* to 1 there: the days are then taken in order, which is less work for silver.""",
    "silver": """\
`max_active_runs` is 1: a later delivery's rows win over an earlier one's, so days are merged one after the
other; of two runs at once, the one that publishes later would be overtaken. The param `reconform` judges all of
bronze again, after a contract's rules have changed (`lakehouse run $source --reconform`).""",
    "gold": """\
`max_active_runs` is 1: a run recomputes for whatever silver published since the last one, so a second at the
same time would only be overtaken. *Rebuild this partition* recomputes every table in full.""",
}

_PAGE = """\
## $source · $layer

$summary

**What it does.** $what

**Impact of failure.** $impact What was published before is still served. Owner: $owner.

**First look**

1. The red task names the place: $places`plan` (ledger), `stage.<table>` (that table),
   `gate` (a rule), `publish` (the COMMIT). Its log ends with what happened and, after `→`, what to do.
2. Nothing half-done is visible: readers see the last publish. There is nothing to clean up before a rerun.
3. What the gate found, also when it passed: $data_docs, `ops.quality_result`. What became of
   every batch: `ops.batch`, `ops.accounted`. What a table means: the $dictionary.
4. What a `stage.<table>` task runs and reads is under its *Rendered Templates*.

**How to rerun**

* What has failed: clear the red task *with downstream*.
* One table: clear its `stage.<table>` task *with downstream*, also when it is published.
* A day `D` (YYYY-MM-DD) again: $again
* Every step is safe to repeat: what comes out as it was is not written. A run for a day that is published, without
  *Rebuild*, has nothing to do, says so, and tells its event again.
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
    wait_hours: float = 24


def page(it: Situation) -> str:
    """The DAG's manual in Markdown."""
    words = {"source": it.source, "layer": it.layer, "wait_hours": f"{it.wait_hours:g}"}
    places = "`find_delivery` (S3), " if it.layer == "bronze" else ""
    texts = {"what": _WHAT, "again": _AGAIN, "runs": _RUNS}
    filled = {name: Template(by_layer[it.layer]).substitute(words) for name, by_layer in texts.items()}
    links = [f"* {what}: {_link(name)}" for name, (what, layers) in RUNBOOKS.items() if it.layer in layers]
    return Template(_PAGE).substitute(
        words,
        **filled,
        summary=it.summary,
        impact=it.impact,
        owner=it.owner,
        places=places,
        data_docs=_served("data-docs/index.html", "Data Docs"),
        dictionary=_served("site/index.html", "catalogue of tables and columns"),
        links="\n".join(links),
    )


_CATCH_UP = """\
## $source · catch up

**What it does.** Every two minutes this DAG looks for what layers of $source have missed, and wakes those that are
not paused and idle. `wake_bronze` starts a run for a delivery that came after its day's run had looked for it, within
$wait_hours hours after the day's end (UTC). `wake_silver` and `wake_gold` tell an event again, for the oldest
partition: Airflow hands an event only to DAGs that are not paused at that moment. `wake_…` is skipped when nothing was
missed, which is the usual case.

**Impact of failure.** A late delivery waits until somebody runs its day; a layer that was paused stays behind until its
next event. Owner: $owner.

**How to rerun.** No need: the next run looks again. Pausing this DAG is safe.

**Runbooks**

$links
"""


def catch_up_page(source: str, owner: str, wait_hours: float) -> str:
    """The manual of a source's catch-up DAG in Markdown."""
    names = ("no-delivery", "partition-did-not-travel")
    links = "\n".join(f"* {RUNBOOKS[name][0]}: {_link(name)}" for name in names)
    return Template(_CATCH_UP).substitute(
        source=source, owner=owner, wait_hours=f"{wait_hours:g}", links=links
    )


SITE_PAGE = """\
## Lakehouse · site

**What it does.** Builds the pages that say whether the data is good, what there is and where it comes from, into
`LAKEHOUSE_SITE`. Every two minutes it looks whether the ledger, the contracts or the documents have
changed, and is skipped when they have not. It reads the warehouse as the analyst: closed columns cannot reach a page.

**Impact of failure.** Pages stay as they were. No layer waits for this DAG, and no data is held back.

**How to rerun.** No need: the next run tries again. Pausing this DAG is safe; `lakehouse open` builds the site too.
"""


_MAINTENANCE = """\
## Lakehouse · maintenance

**What it does.** Every night, a task each: `retention` (rows older than their contract says), `compact` (small files),
`snapshots` (old ones of the lake, with the objects that only they show), `orphans` (objects nobody knows), `ledger`
(history in `ops`), `warehouse` (vacuum, analyse), `pages` (Data Docs), `logs`, `airflow` (`airflow db clean`).
What an open run has pinned is never touched, loads may run meanwhile, and while a backup copies objects none is
deleted. How long things are kept: `LAKEHOUSE_KEEP_…`, and the retention in each contract.

**Impact of failure.** No data is held back. Space is not freed, and retention is not enforced, until it is mended. A
step that fails stops no other; the run is red.

**How to rerun.** Clear the red step; each is safe to repeat and to kill. *Trigger* with *Dry run* tells what would go,
as `lakehouse maintain` does.

**Runbooks**

* a disk or the bucket is full: $disk_full
"""


def maintenance_page() -> str:
    """The manual of the DAG of maintenance in Markdown."""
    return Template(_MAINTENANCE).substitute(disk_full=_link("disk-full"))


def _link(name: str) -> str:
    return _served(f"site/runbooks/{name}.html", f"docs/runbooks/{name}.md")


def _served(page: str, text: str) -> str:
    """A link to a page that the plugin serves inside Airflow; ``LAKEHOUSE_PAGES_URL`` says where they are else."""
    base = os.environ.get("LAKEHOUSE_PAGES_URL", PAGES).rstrip("/")
    return f"[{text}]({base}/{page})"
