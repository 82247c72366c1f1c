"""What the tasks do. Each finds its work in the ledger, so each can be cleared and run again alone.

The package's other rooms are imported inside: a DAG file is read by every task's process, and must be quick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from lakehouse.orchestrate.homes import open_homes
from lakehouse.orchestrate.partition import partition_key

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from lakehouse.contract.model import Layer
    from lakehouse.home.homes import Homes

log = logging.getLogger(__name__)


def stage(source: str, layer: Layer, table: str) -> dict[str, Any]:
    """Make one table's rows where no reader sees them.

    Returns the row counts, empty when the plan has nothing for the table.

    Raises:
        LakehouseError: see :func:`lakehouse.layer.flow.stage`.
    """
    from lakehouse.contract import Project
    from lakehouse.layer import flow

    key = partition_key(get_current_context())
    with _homes(source, layer, key) as homes:
        counts = flow.stage(homes, Project.load(), source, layer, key, table)
    log.info("%s %s %s: %s", layer, table, key, counts or "nothing to do")
    return dict(counts)


def gate(source: str, layer: Layer) -> dict[str, Any]:
    """Audit what is staged.

    Returns the verdict.

    Raises:
        GateFailed: a hard rule was broken; the message names table, rule, counts and sample keys.
    """
    from lakehouse.contract import Project
    from lakehouse.layer import flow

    key = partition_key(get_current_context())
    with _homes(source, layer, key) as homes:
        verdict = flow.gate(homes, Project.load(), source, layer, key)
    log.info("%s %s %s: %s", source, layer, key, verdict["verdict"])
    return dict(verdict)


def publish(source: str, layer: Layer, asset: Asset) -> dict[str, Any]:
    """Publish by one COMMIT, then tell it: partition key, batch ids, row counts and verdict.

    With nothing to publish the event is told again, so that a consumer that missed it wakes up and looks. The
    key goes into the event itself too: a run that got it as a param has none for Airflow to take over.

    Returns what the event carries.

    Raises:
        AirflowSkipException: nothing was ever published for the partition; there is no event to tell.
        StaleStage: something is not what was audited; nothing was published.
    """
    from lakehouse.contract import Project
    from lakehouse.layer import flow

    context = get_current_context()
    key = partition_key(context)
    with _homes(source, layer, key) as homes:
        told = flow.publish(homes, Project.load(), source, layer, key)
    if not told["row_counts"]:
        raise AirflowSkipException(f"{source} {layer} has never been published for {key}: no event.")
    log.info("%s %s %s: %s", source, layer, key, told)
    event = context["outlet_events"][asset]
    event.extra.update(told)
    event.add_partitions(key)
    return told


@contextmanager
def _homes(source: str, layer: Layer, key: str) -> Iterator[Homes]:
    """The homes of a step. Why it failed is written into the ledger too, for `lakehouse status`.

    Only our own messages are: others may quote values of a row, which are not for everybody who reads the ledger.
    """
    from lakehouse.errors import LakehouseError

    with open_homes() as homes:
        try:
            yield homes
        except Exception as error:
            known = error.message if isinstance(error, LakehouseError) else ""
            _note(homes, source, layer, key, known or f"{type(error).__name__}; the task's log says more.")
            raise


def _note(homes: Homes, source: str, layer: Layer, key: str, message: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from lakehouse.layer.ledger import note_failure

    try:
        with homes.engine.begin() as conn:
            note_failure(conn, source, layer, key, message)
    except SQLAlchemyError as error:  # the warehouse may be what is down
        log.warning("The ledger could not be told: %s", type(error).__name__)
