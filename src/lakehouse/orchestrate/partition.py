"""Which partition a run is for, and how much of it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lakehouse.layer.steps import Scope

#: How partition keys are written, in timetables, events, landing folders and the ledger.
KEY_FORMAT = "%Y-%m-%d"
#: The param that every trigger form asks for.
KEY_PARAM = "partition_key"


def is_key(value: object) -> bool:
    """Whether a value is a partition key: a date, written YYYY-MM-DD."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).strftime(KEY_FORMAT) == value
    except ValueError:
        return False


def partition_key(context: Context) -> str:
    """The run's partition key: the run's own, else the param of the same name.

    Airflow's API gives a run that was triggered with the param this key as its own (see
    :mod:`lakehouse.orchestrate.trigger`); ``airflow dags trigger`` goes past the API.

    Raises:
        AirflowFailException: there is none, or it is not a date. A retry would not change that.
    """
    key = context["dag_run"].partition_key or context["params"].get(KEY_PARAM)
    dag_id = context["dag"].dag_id
    if not key:
        raise AirflowFailException(f"This run of {dag_id} has no partition key. {how_to_say(dag_id)}")
    if not is_key(key):
        raise AirflowFailException(f"{key!r} is not a partition key of {dag_id}: write it as YYYY-MM-DD.")
    return str(key)


def how_to_say(dag_id: str) -> str:
    """How somebody who triggers a DAG says which day is meant."""
    return (
        "Say it in the form's field Day, in REST as "
        '"partition_key": "YYYY-MM-DD", on the command line with '
        f"airflow dags trigger {dag_id} --conf " + '\'{"partition_key": "YYYY-MM-DD"}\''
    )


def is_rebuild(context: Context) -> bool:
    """Whether a run was asked to work its partition out again: by its param, or by the layer before, which was."""
    if context["params"].get("rebuild"):
        return True
    told = context["triggering_asset_events"].values()
    return any(event.extra.get("rebuild") for events in told for event in events)


def scope(context: Context) -> Scope:
    """How much a run works out."""
    if context["params"].get("reconform"):
        return "everything"
    return "partition" if is_rebuild(context) else "pending"
