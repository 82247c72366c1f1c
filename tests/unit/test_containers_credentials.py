"""Nothing starts with a placeholder; `make secrets` writes what is missing, for its owner alone."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.errors import StackError
from lakehouse.stack import credentials
from lakehouse.stack.credentials import GENERATED, PLACEHOLDER

from ..support import compose

ROOT = compose.ROOT


def fresh() -> dict[str, str]:
    return {name: make() for name, make in GENERATED.items()}


def run(*command: str, **given: str) -> subprocess.CompletedProcess[str]:
    """A module of the package with only these variables, and without any installed library."""
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": os.defpath, **given}
    return subprocess.run(
        [sys.executable, "-S", *command], env=environment, capture_output=True, text=True, check=False
    )


def test_generated_credentials_are_accepted_and_never_twice_the_same() -> None:
    credentials.check(fresh())
    values = [value for _ in range(20) for value in fresh().values()]
    assert len(set(values)) == len(values)


def test_the_fernet_key_is_one() -> None:
    from cryptography.fernet import Fernet

    key = GENERATED["LAKEHOUSE_AIRFLOW_FERNET_KEY"]()
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        (PLACEHOLDER, "is the placeholder"),
        ("short-password", "is shorter than 16"),
        ("a" * 40, "repeats a few"),
        ("quoted'password'with;sql", "holds characters other than"),
        ("password with spaces 123", "holds characters other than"),
        ("password/with@url:meaning", "holds characters other than"),
    ],
)
def test_a_bad_credential_is_named_and_not_shown(value: str, why: str) -> None:
    with pytest.raises(StackError, match=f"LAKEHOUSE_SECRET_KEY {why}") as caught:
        credentials.check({**fresh(), "LAKEHOUSE_SECRET_KEY": value})
    assert "make secrets" in caught.value.hint
    if value not in ("", PLACEHOLDER):
        assert value not in str(caught.value)


def test_one_credential_for_two_is_refused() -> None:
    values = fresh()
    values["LAKEHOUSE_PG_ANALYST_PASSWORD"] = values["LAKEHOUSE_PG_LOADER_PASSWORD"]
    with pytest.raises(
        StackError, match=r"LAKEHOUSE_PG_LOADER_PASSWORD and LAKEHOUSE_PG_ANALYST_PASSWORD are the same"
    ):
        credentials.check(values)


def test_a_key_of_the_store_that_has_the_roots_name_is_refused() -> None:
    """As in an `.env` of a time when there was one key for everything."""
    names = dict.fromkeys(credentials.USERS, "lakehouse") | {
        "LAKEHOUSE_READER_ACCESS_KEY": "lakehouse-reader"
    }
    with pytest.raises(
        StackError, match=r"LAKEHOUSE_S3_ROOT_USER and LAKEHOUSE_ACCESS_KEY and .* are the same"
    ):
        credentials.check_users(names)
    done = run("-m", "lakehouse.stack.credentials", "check", **fresh(), **names)
    assert done.returncode == 1
    assert "LAKEHOUSE_LANDING_ACCESS_KEY" in done.stderr
    credentials.check_users({name: name.lower() for name in credentials.USERS})


def test_the_file_is_private_complete_and_stays(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    assert set(credentials.write(compose.EXAMPLE, target)) == set(GENERATED)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    written = credentials.read(target)
    assert PLACEHOLDER not in written.values()
    assert written.keys() == credentials.read(compose.EXAMPLE).keys()
    before = target.read_text()
    assert credentials.write(compose.EXAMPLE, target) == []
    assert target.read_text() == before


def test_what_a_person_wrote_stays_and_what_is_missing_is_added(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    own = "my-own-long-password-0123"
    target.write_text(f"LAKEHOUSE_AIRFLOW_PASSWORD={own}\nLAKEHOUSE_BIND=10.0.0.7\nOF_MINE=1\n")
    made = credentials.write(compose.EXAMPLE, target)
    written = credentials.read(target)
    assert set(made) == set(GENERATED) - {"LAKEHOUSE_AIRFLOW_PASSWORD"}
    assert written["LAKEHOUSE_AIRFLOW_PASSWORD"] == own
    assert (written["LAKEHOUSE_BIND"], written["OF_MINE"]) == ("10.0.0.7", "1")


def test_the_job_refuses_the_example_as_it_is() -> None:
    placeholders = dict.fromkeys(GENERATED, PLACEHOLDER)
    done = run("-m", "lakehouse.stack.credentials", "check", **placeholders)
    assert done.returncode == 1
    assert set(re.findall(r"(LAKEHOUSE_\w+) is the placeholder", done.stderr)) == set(GENERATED)
    assert "make secrets" in done.stderr
    assert run("-m", "lakehouse.stack.credentials", "check", **fresh()).returncode == 0


def test_health_needs_no_library() -> None:
    done = run("-m", "lakehouse.stack.health", "http", "http://127.0.0.1:1/")
    assert (done.returncode, done.stdout) == (1, "no answer\n")


@pytest.mark.parametrize(
    "name", ["airflow-scheduler", "airflow-api-server", "airflow-migrate", "database", "store"]
)
@pytest.mark.parametrize("value", ["", PLACEHOLDER])
def test_a_service_alone_refuses_a_placeholder_too(name: str, value: str, tmp_path: Path) -> None:
    """Where no job looks before, as on Kubernetes."""
    given = compose.filled_in(tmp_path)
    service = compose.services(given)[name]
    environment = {
        k: (value if v in given.values() and k in GENERATED else str(v))
        for k, v in service["environment"].items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.stack.service", *service["command"]],
        env={
            **environment,
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "AIRFLOW_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "make secrets" in done.stderr
    assert "Traceback" not in done.stderr
