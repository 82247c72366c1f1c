"""The DAG of maintenance: one task a step, one after the other. A step that fails stops none, but the run is red."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseHook, Param, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from lakehouse.orchestrate import manual
from lakehouse.orchestrate.homes import AIRFLOW_CONNECTION, data_docs, open_homes, s3_access
from lakehouse.orchestrate.pools import MAINTENANCE_POOL

log = logging.getLogger(__name__)

#: When little is delivered: after the backups of the night, before people come.
_SCHEDULE = "30 4 * * *"
#: Step → what its task says of itself. The same steps, in the same order, as ``lakehouse maintain``.
STEPS = {
    "retention": "Rows older than their contract says leave RAW and bronze, and of events ODS and silver.",
    "compact": "Small files of silver and gold become one, where no run of the layer is under way.",
    "snapshots": "Old snapshots that nobody has pinned expire; objects that only they show are deleted.",
    "orphans": "Objects that neither the registry nor an Iceberg table knows are deleted; missing ones are told.",
    "ledger": "What `ops` keeps of gates, pins and failed attempts of long ago is forgotten.",
    "warehouse": "Relations of runs that are over are dropped; worn tables are vacuumed and analysed.",
    "pages": "Data Docs that no list names are removed.",
    "logs": "Old logs of tasks are removed.",
    "airflow": "`airflow db clean` for old runs and events. Skipped without the connection `lakehouse_airflow`.",
}


def build_maintenance_dag(owner: str) -> DAG:
    """``lakehouse_maintenance``: every night; by hand with ``dry_run`` it only tells what it would remove."""
    with DAG(
        dag_id="lakehouse_maintenance",
        description="Removes what nobody needs any more: old rows, snapshots, objects, logs and history.",
        schedule=_SCHEDULE,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=6),
        tags=["lakehouse"],
        doc_md=manual.maintenance_page(),
        params={
            "dry_run": Param(
                False,
                type="boolean",
                title="Dry run",
                description="Only find and tell what would be removed; nothing is changed.",
            )
        },
        default_args={
            "owner": owner,
            "retries": 1,
            "retry_delay": timedelta(minutes=5),
            "execution_timeout": timedelta(hours=2),
            "pool": MAINTENANCE_POOL,
        },
    ) as dag:
        done = EmptyOperator(task_id="done", pool="default_pool", doc_md="Fails when a step has failed.")
        done.trigger_rule = TriggerRule.NONE_FAILED
        before: PythonOperator | None = None
        for name, told in STEPS.items():
            task = PythonOperator(
                task_id=name,
                python_callable=run,
                op_args=[name],
                trigger_rule=TriggerRule.ALL_DONE,
                doc_md=told,
            )
            task >> done
            if before is not None:
                before >> task
            before = task
    return dag


def run(step: str) -> dict[str, Any]:
    """Run a step of maintenance; its outcome.

    Raises:
        AirflowSkipException: there is nothing for it to work on here.
        LakehouseError: it failed; the next step runs all the same.
    """
    from dataclasses import replace

    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.layer import maintenance

    dry_run = bool(get_current_context()["params"]["dry_run"])
    with open_homes() as homes:
        job = maintenance.Job(
            replace(homes, data_docs=data_docs()),
            Project.load(),
            apply=not dry_run,
            logs=_logs(),
            airflow=_airflow(),
        )
        done = maintenance.run_step(job, step)
    for note in done.notes:
        log.info("%s", note)
    if done.state == "failed":
        raise LakehouseError(f"Maintenance, step {step}: {done.notes[0]}", "The other steps go on.")
    if done.state == "skipped":
        raise AirflowSkipException("; ".join(done.notes))
    log.info("%s: %d objects, %d bytes, %d rows", done.state, done.objects, done.bytes, done.rows)
    return done.as_json()


def _logs() -> tuple[Any, ...]:
    """Where this Airflow writes the logs of its tasks, and where it sends them."""
    from airflow.configuration import conf

    from lakehouse.home.pages import open_pages

    places = [open_pages(conf.get("logging", "base_log_folder"))]
    remote = conf.get("logging", "remote_base_log_folder", fallback="")
    if conf.getboolean("logging", "remote_logging") and remote.startswith("s3://"):
        places.append(open_pages(remote, s3_access()))
    return tuple(places)


def _airflow() -> Callable[[datetime, bool], int] | None:
    """What cleans Airflow's own database; None when nobody has told the way to it."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from lakehouse.orchestrate.metadata import clean

    try:
        BaseHook.get_connection(AIRFLOW_CONNECTION)
    except AirflowNotFoundException:
        return None
    url = PostgresHook(postgres_conn_id=AIRFLOW_CONNECTION).sqlalchemy_url
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return lambda before, apply: clean(dsn, before, apply)
