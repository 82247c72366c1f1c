"""What the commands share: the stack they speak to and the homes they open."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.home.homes import Homes
    from lakehouse.home.settings import Settings
    from lakehouse.stack.state import StackState


def stack_state() -> StackState:
    """The state of the stack that was brought up.

    Raises:
        StackError: there is none.
    """
    from lakehouse.stack import state

    return state.required(state.StackHome.locate())


def settings(state: StackState | None = None) -> Settings:
    """Where the homes are: the environment when it names a warehouse, else the laptop stack."""
    from lakehouse.home.settings import Settings
    from lakehouse.stack.laptop import server_of

    if state is None and os.environ.get("LAKEHOUSE_PG_DSN"):
        return Settings()
    state = state or stack_state()
    return Settings.model_validate(
        {
            "pg_dsn": server_of(state).loader_dsn,
            "s3_endpoint": state.store.url,
            "bucket": state.bucket,
            "access_key": state.store.access_key,
            "secret_key": state.store.secret_key,
            "region": state.store.region,
        }
    )


def open_homes(state: StackState | None = None) -> Homes:
    """The two homes of the stack, or those that the environment names."""
    from lakehouse.home.homes import Homes

    return Homes.open(settings(state))


def prepare_homes(state: StackState) -> None:
    """Make the bucket and the warehouse's schemas; idempotent."""
    from lakehouse.contract.project import Project
    from lakehouse.home import warehouse

    homes = open_homes(state)
    homes.ensure_bucket()
    warehouse.prepare(homes, Project.load())
    homes.engine.dispose()


def exports(state: StackState) -> dict[str, str]:
    """Variables for any tool on this machine that wants to speak to the stack."""
    from lakehouse.stack.airflow import USER
    from lakehouse.stack.laptop import airflow_url, server_of

    server = server_of(state)
    return {
        "LAKEHOUSE_PG_DSN": server.loader_dsn,
        "LAKEHOUSE_ANALYST_DSN": server.analyst_dsn,
        "AWS_ENDPOINT_URL": state.store.url,
        "AWS_ACCESS_KEY_ID": state.store.access_key,
        "AWS_SECRET_ACCESS_KEY": state.store.secret_key,
        "AWS_REGION": state.store.region,
        "LAKEHOUSE_BUCKET": state.bucket,
        "AIRFLOW_URL": airflow_url(state),
        "AIRFLOW_USER": USER,
        "AIRFLOW_PASSWORD": state.airflow_password,
    }


def export_lines(variables: dict[str, str]) -> str:
    """``export NAME=value`` lines, quoted for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
