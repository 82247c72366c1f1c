"""What the tasks do. Each finds its work in the ledger, so each can be cleared and run again alone.

The package's other rooms are imported inside: a DAG file is read by every task's process, and must be quick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from lakehouse.orchestrate.homes import open_homes
from lakehouse.orchestrate.lineage import tell_tables
from lakehouse.orchestrate.partition import is_rebuild, partition_key

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from lakehouse.contract.model import Layer
    from lakehouse.home.homes import Homes
    from lakehouse.quality.report import Report

log = logging.getLogger(__name__)
#: What an event carries of the gate's report.
_TOLD = ("run_id", "published_at", "tables", "refused", "broken", "left_out")


def stage(source: str, layer: Layer, table: str, *, again: bool = False) -> dict[str, Any]:
    """Make one table's rows where no reader sees them; ``again``: also when it is published.

    Returns the row counts, empty when the plan has nothing for the table.

    Raises:
        LakehouseError: see :func:`lakehouse.layer.flow.stage`.
    """
    from lakehouse.contract import Project
    from lakehouse.layer import flow

    key = partition_key(get_current_context())
    with _homes(source, layer, key) as homes:
        counts = flow.stage(homes, Project.load(), source, layer, key, table, again=again)
    rows = ", ".join(f"{rows:,} {name}" for name, rows in counts.items() if rows)
    log.info("%s.%s %s: %s", layer, table, key, f"rows {rows or 'none'}" if counts else "nothing to do")
    return dict(counts)


def gate(source: str, layer: Layer) -> dict[str, Any]:
    """Audit what is staged, and tell what was found: in the log, as data (also of a blocked run), as the run's note.

    Returns the report (:mod:`lakehouse.quality.report`), or just the verdict ``nothing``.

    Raises:
        GateFailed: a hard rule was broken; the message names the first cause and where its rows can be looked at.
    """
    from lakehouse.contract import Project
    from lakehouse.errors import GateFailed
    from lakehouse.layer import flow
    from lakehouse.orchestrate.links import gate_address
    from lakehouse.orchestrate.telling import RESULT, leave_note, tell_audit
    from lakehouse.quality.report import note, read_report

    context = get_current_context()
    key, ti = partition_key(context), context["ti"]
    with _homes(source, layer, key) as homes:
        try:
            found = flow.gate(homes, Project.load(), source, layer, key)
        except GateFailed as failed:
            report = _last_report(homes, source, layer, key)
            if report is None:
                raise
            tell_audit(report, gate_address(source, layer, key))
            leave_note(ti, note(report))
            ti.xcom_push(key=RESULT, value=report.as_json())
            # The log above has all of it.
            raise GateFailed(failed.message.partition("\n")[0], failed.hint) from None
    if found["verdict"] == "nothing":
        log.info("%s %s %s: nothing to audit", source, layer, key)
        return found
    report = read_report(found)
    tell_audit(report, gate_address(source, layer, key))
    leave_note(ti, note(report))
    return found


def publish(source: str, layer: Layer, asset: Asset) -> dict[str, Any]:
    """Publish by one COMMIT, then tell it: partition key, batch ids, row counts and verdict.

    With nothing to publish the event is told again, so that a consumer that missed it wakes up and looks. The
    key goes into the event itself too: a run that got it as a param has none for Airflow to take over.

    Returns what the event carries: also rows per table, refused rows and broken rules, as in the gate's report.

    Raises:
        AirflowSkipException: nothing was ever published for the partition; there is no event to tell.
        StaleStage: something is not what was audited; nothing was published.
    """
    from lakehouse.contract import Project
    from lakehouse.layer import flow
    from lakehouse.orchestrate.telling import leave_note, tell_rows
    from lakehouse.quality.report import note

    context = get_current_context()
    key = partition_key(context)
    with _homes(source, layer, key) as homes:
        before = _last_report(homes, source, layer, key, published=True)
        told = flow.publish(homes, Project.load(), source, layer, key)
        report = _last_report(homes, source, layer, key, published=True)
    if not told["row_counts"]:
        leave_note(context["ti"], f"Nothing to do: {source} {layer} has never been published for {key}.")
        raise AirflowSkipException(f"{source} {layer} has never been published for {key}: no event.")
    if report is not None:
        told |= {name: found for name, found in report.as_json().items() if name in _TOLD}
        done = f"published {report.published_at} UTC, verdict {told['verdict']}"
        if before is None or before.run_id != report.run_id:
            log.info("%s: %s, %s rows written", report.label, done, f"{told['rows_written']:,}")
            tell_rows(report)
            leave_note(context["ti"], note(report))
        else:
            log.info("%s: nothing to do: %s. The event is told again.", report.label, done)
            leave_note(context["ti"], f"Nothing to do: {done}.")
    if is_rebuild(context):
        told["rebuild"] = True  # the next layer is asked for the same
    tell_tables(context, source, layer, told)
    event = context["outlet_events"][asset]
    event.extra.update(told)
    event.add_partitions(key)
    return told


def _last_report(
    homes: Homes, source: str, layer: Layer, key: str, *, published: bool = False
) -> Report | None:
    from lakehouse.layer.findings import last_report

    with homes.engine.connect() as conn:
        return last_report(conn, source, layer, key, published=published)


@contextmanager
def _homes(source: str, layer: Layer, key: str) -> Iterator[Homes]:
    """The homes of a step. Why it failed is written into the ledger too, for `lakehouse status`, and on the run.

    Only our own messages are: others may quote values of a row, which are not for everybody who reads the ledger.
    """
    from lakehouse.errors import GateFailed, LakehouseError
    from lakehouse.orchestrate.telling import leave_note

    with open_homes() as homes:
        try:
            yield homes
        except Exception as error:
            known = error.message if isinstance(error, LakehouseError) else ""
            message = known or f"{type(error).__name__}; the task's log says more."
            _note(homes, source, layer, key, message)
            if not isinstance(error, GateFailed):  # of that the gate has told more
                with suppress(Exception):  # Airflow may be what is down; what has happened is the error
                    leave_note(
                        get_current_context()["ti"], f"**failed** · {source} {layer} {key}\n* {message}"
                    )
            raise


def _note(homes: Homes, source: str, layer: Layer, key: str, message: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from lakehouse.layer.ledger import note_failure

    try:
        with homes.engine.begin() as conn:
            note_failure(conn, source, layer, key, message)
    except SQLAlchemyError as error:  # the warehouse may be what is down
        log.warning("The ledger could not be told: %s", type(error).__name__)
