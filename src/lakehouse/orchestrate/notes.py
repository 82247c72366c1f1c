"""Puts the note that a run's tasks have left (see :mod:`lakehouse.orchestrate.telling`) on the run, in the scheduler.

Airflow calls this when a run has ended, with the run still open in the scheduler's own session. A note that somebody
gave the run stays below. Whatever goes wrong here is logged by Airflow, and is no reason for a run to fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

from lakehouse.orchestrate.telling import NOTE
from lakehouse.quality.report import NOTE_CHARACTERS

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

#: Between our note and that of others: a line across, in Markdown.
_RULE = "\n\n---\n\n"


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """A run has ended well."""
    _put_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """A run has failed."""
    _put_note(dag_run)


def _put_note(dag_run: DagRun) -> None:
    from airflow.models.xcom import XComModel
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    query = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key=NOTE)
    # The last task to speak knows most.
    newest = session.scalars(query.order_by(None).order_by(XComModel.timestamp.desc()).limit(1)).first()
    if newest is not None:
        kept = dag_run.dag_run_note
        # One that has an author is not only ours.
        given = kept.content if kept is not None and kept.user_id is not None else ""
        dag_run.note = joined(XComModel.deserialize_value(newest), given)


def joined(ours: str, kept: str) -> str:
    """Our note, and below it the one that somebody gave the run; ours of an earlier try is left out."""
    given = kept.rpartition(_RULE)[2]
    return f"{ours[: NOTE_CHARACTERS - len(_RULE + given)]}{_RULE}{given}" if given else ours
