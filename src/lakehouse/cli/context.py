"""What the commands share: the stack they speak to and the homes they open."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lakehouse.contract.project import Project
    from lakehouse.home.homes import Homes
    from lakehouse.home.settings import Settings
    from lakehouse.stack.s3 import S3Server
    from lakehouse.stack.state import StackState


def stack_state(*, check: bool = True) -> StackState:
    """The state of the stack that was brought up.

    Raises:
        StackError: there is none, or (unless ``check`` is off) the environment names the servers of another one.
    """
    from lakehouse.stack import state

    found = state.required(state.StackHome.locate())
    if check:
        refuse_mixture(found)
    return found


def refuse_mixture(state: StackState) -> None:
    """See to it that files and rows are those of the stack whose Airflow is asked.

    Raises:
        StackError: the environment names homes of another stack, or of none that this one knows.
    """
    from lakehouse.errors import StackError
    from lakehouse.home.settings import Settings
    from lakehouse.stack.laptop import server_of
    from lakehouse.stack.state import StackHome

    server, mixed = server_of(state), dict[str, tuple[str, str]]()
    own = {"LAKEHOUSE_PG_DSN": server.loader_dsn, "LAKEHOUSE_ANALYST_DSN": server.analyst_dsn}
    for name, dsn in own.items():
        given = os.environ.get(name)
        if given and _address(given) != _address(dsn):
            mixed[name] = _address(given), _address(dsn)
    if os.environ.get("LAKEHOUSE_PG_DSN"):  # only then is the store taken from the environment too
        given_store = Settings()
        store = f"{given_store.s3_endpoint} bucket {given_store.bucket}"
        if store != f"{state.store.url} bucket {state.bucket}":
            mixed["AWS_ENDPOINT_URL"] = store, f"{state.store.url} bucket {state.bucket}"
    if mixed:
        told = "; ".join(f"{name} is {given}, here it is {own}" for name, (given, own) in mixed.items())
        raise StackError(
            f"The environment is that of another stack than {StackHome.locate().root}: {told}. Nothing was done.",
            'For this stack: `eval "$(lakehouse env)"`. For the other: set LAKEHOUSE_HOME, or go to its checkout.',
        )


def _address(dsn: str) -> str:
    """Where a DSN leads to, without user and password."""
    from psycopg2.extensions import parse_dsn

    parts = parse_dsn(dsn)
    return f"{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


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
            "landing_access_key": state.store.landing_key,
            "landing_secret_key": state.store.landing_secret,
            "analyst_dsn": server_of(state).analyst_dsn,
            "monitor_dsn": server_of(state).monitor_dsn,
            "reader_access_key": state.store.reader_key,
            "reader_secret_key": state.store.reader_secret,
        }
    )


def existing_folder(folder: Path | None, option: str) -> Path | None:
    """The folder that a person has named, if any.

    Raises:
        LakehouseError: it does not exist, or is a file; names the option it came by.
    """
    from lakehouse.errors import LakehouseError

    if folder is None or folder.expanduser().is_dir():
        return folder and folder.expanduser()
    if folder.expanduser().exists():
        raise LakehouseError(f"{folder} is a file.", f"{option} wants the folder that it is in.")
    raise LakehouseError(f"There is no folder {folder}.", f"Give {option} the folder with the files.")


def open_homes(state: StackState | None = None, *, landing: bool = False) -> Homes:
    """The two homes of the stack, or those that the environment names; ``landing``: to land files or take them back."""
    from lakehouse.home.homes import Homes

    return Homes.open(settings(state), landing=landing)


def prepare_homes(state: StackState | None = None) -> None:
    """Make the bucket, the store's users and the warehouse's schemas; idempotent."""
    from lakehouse.contract.project import Project
    from lakehouse.home import warehouse

    project, homes = Project.load(), open_homes(state)
    if state and state.store.kind == "minio":
        from lakehouse.stack.s3 import ROOT, S3Server, access_key

        root = S3Server(state.store.url, ROOT, state.s3_password)
        keys = {role: (access_key(role), secret) for role, secret in state.s3_keys.items()}
        set_up_store(project, root, keys, state.bucket)
    homes.ensure_bucket()
    warehouse.prepare(homes, project)
    homes.engine.dispose()


def set_up_store(
    project: Project, root: S3Server, keys: Mapping[str, tuple[str, str]], bucket: str, logs: str = ""
) -> None:
    """What only MinIO's root may do: buckets, the three keys and their policies; idempotent.

    Args:
        project: its contracts say what a reader may fetch.
        root: the store, with its root's credentials.
        keys: ``landing``, ``pipeline``, ``reader`` → access key and secret key.
        bucket: of landing zone and lake.
        logs: ``<bucket>/<prefix>`` of task logs, when they have a bucket of their own.

    Raises:
        StackError: MinIO refused.
    """
    from lakehouse.compile.policies import policies
    from lakehouse.home.homes import S3Access, ensure_bucket
    from lakehouse.stack.s3 import set_users

    access = S3Access(root.endpoint, root.access_key, root.secret_key, root.region)
    for name in {bucket, logs.partition("/")[0]} - {""}:
        ensure_bucket(access, name)
    allowed = policies(project, bucket, logs)
    set_users(root, {keys[role][0]: (keys[role][1], allowed[role]) for role in allowed})


def exports(state: StackState) -> dict[str, str]:
    """Variables for any tool on this machine that wants to speak to the stack."""
    from lakehouse.stack.airflow import USER
    from lakehouse.stack.laptop import airflow_url, server_of

    server = server_of(state)
    return {
        "LAKEHOUSE_PG_DSN": server.loader_dsn,
        "LAKEHOUSE_ANALYST_DSN": server.analyst_dsn,
        "LAKEHOUSE_MONITOR_DSN": server.monitor_dsn,
        "AWS_ENDPOINT_URL": state.store.url,
        "AWS_ACCESS_KEY_ID": state.store.access_key,
        "AWS_SECRET_ACCESS_KEY": state.store.secret_key,
        "AWS_REGION": state.store.region,
        "LAKEHOUSE_LANDING_ACCESS_KEY": state.store.landing_key,
        "LAKEHOUSE_LANDING_SECRET_KEY": state.store.landing_secret,
        "LAKEHOUSE_READER_ACCESS_KEY": state.store.reader_key,
        "LAKEHOUSE_READER_SECRET_KEY": state.store.reader_secret,
        "LAKEHOUSE_BUCKET": state.bucket,
        "AIRFLOW_URL": airflow_url(state),
        "AIRFLOW_USER": USER,
        "AIRFLOW_PASSWORD": state.airflow_password,
        **{f"AIRFLOW_{name.upper()}_PASSWORD": word for name, word in state.airflow_passwords.items()},
    }


def reader_exports(state: StackState) -> dict[str, str]:
    """Variables for somebody who reads both homes without personal data, and may do nothing else."""
    every = exports(state)
    names = ("LAKEHOUSE_ANALYST_DSN", "AWS_ENDPOINT_URL", "AWS_REGION", "LAKEHOUSE_BUCKET")
    key, secret = every["LAKEHOUSE_READER_ACCESS_KEY"], every["LAKEHOUSE_READER_SECRET_KEY"]
    return {
        **{name: every[name] for name in names},
        "LAKEHOUSE_READER_ACCESS_KEY": key,
        "LAKEHOUSE_READER_SECRET_KEY": secret,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
    }


def export_lines(variables: dict[str, str]) -> str:
    """``export NAME=value`` lines, quoted for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
