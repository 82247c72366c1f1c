"""Which partition a run is for."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

#: How partition keys are written, in timetables, events, landing folders and the ledger.
KEY_FORMAT = "%Y-%m-%d"


def partition_key(context: Context) -> str:
    """The run's partition key: the run's own, else the param of the same name.

    Runs of a backfill, of the schedule and of an asset event carry their own; a trigger from the command line
    cannot, and names it as a param.

    Raises:
        AirflowFailException: there is none, or it is not a date. A retry would not change that.
    """
    key = context["dag_run"].partition_key or context["params"].get("partition_key")
    dag_id = context["dag"].dag_id
    if not key:
        raise AirflowFailException(
            f"This run of {dag_id} has no partition key. Trigger it again with one: in the form under "
            'Advanced Options, in REST as "partition_key": "YYYY-MM-DD", or on the command line with '
            f"airflow dags trigger {dag_id} --conf " + '\'{"partition_key": "YYYY-MM-DD"}\''
        )
    try:
        if date.fromisoformat(key).strftime(KEY_FORMAT) == key:
            return str(key)
    except ValueError:
        pass
    raise AirflowFailException(f"{key!r} is not a partition key of {dag_id}: write it as YYYY-MM-DD.")
