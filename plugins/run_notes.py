"""Every run gets a note that says what became of it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from lakehouse.orchestrate import notes


class RunNotes(AirflowPlugin):
    """Listens for the ends of runs."""

    name = "lakehouse_run_notes"
    listeners = [notes]  # noqa: RUF012 - Airflow's own way
