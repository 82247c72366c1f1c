"""The credentials of a deployment: written once into `.env`, refused when they are placeholders.

Only the standard library is needed here: `make secrets` runs before anything is installed.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lakehouse.errors import StackError
from lakehouse.stack.state import write_private

#: What `.env.example` holds in the place of every credential. Nothing starts with it.
PLACEHOLDER = "generate-me"
#: Shorter ones can be guessed.
_SHORTEST = 16
_HOW = "`make secrets` generates every credential that is missing and writes `.env`, readable by you alone."
#: Characters that mean nothing in a URL, in SQL and in a shell.
_PLAIN = re.compile(r"[A-Za-z0-9_.~=-]+")
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


def _password() -> str:
    return secrets.token_urlsafe(24)


def _key() -> str:
    return secrets.token_urlsafe(48)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


#: Variable → what makes a value for it.
GENERATED: Mapping[str, Callable[[], str]] = {
    "LAKEHOUSE_PG_SUPERUSER_PASSWORD": _password,
    "LAKEHOUSE_PG_LOADER_PASSWORD": _password,
    "LAKEHOUSE_PG_ANALYST_PASSWORD": _password,
    "LAKEHOUSE_PG_MONITOR_PASSWORD": _password,
    "LAKEHOUSE_PG_GUARD_PASSWORD": _password,
    "LAKEHOUSE_PG_AIRFLOW_PASSWORD": _password,
    "LAKEHOUSE_S3_ROOT_PASSWORD": _password,
    "LAKEHOUSE_SECRET_KEY": _password,
    "LAKEHOUSE_LANDING_SECRET_KEY": _password,
    "LAKEHOUSE_READER_SECRET_KEY": _password,
    "LAKEHOUSE_AIRFLOW_PASSWORD": _password,
    "LAKEHOUSE_AIRFLOW_OPERATOR_PASSWORD": _password,
    "LAKEHOUSE_AIRFLOW_VIEWER_PASSWORD": _password,
    "LAKEHOUSE_AIRFLOW_FERNET_KEY": _fernet_key,
    "LAKEHOUSE_AIRFLOW_JWT_SECRET": _key,
    "LAKEHOUSE_AIRFLOW_API_SECRET": _key,
    "LAKEHOUSE_REDIS_PASSWORD": _password,
    "LAKEHOUSE_GRAFANA_PASSWORD": _password,
}

#: The names of the store's users. Each is another one: a key that is also the root's would be the root.
USERS = (
    "LAKEHOUSE_S3_ROOT_USER",
    "LAKEHOUSE_ACCESS_KEY",
    "LAKEHOUSE_LANDING_ACCESS_KEY",
    "LAKEHOUSE_READER_ACCESS_KEY",
)


def weakness(value: str) -> str:
    """Why a value is no credential, in words that follow the variable's name; empty when it is one."""
    if not value:
        return "is empty"
    if value == PLACEHOLDER:
        return "is the placeholder of `.env.example`"
    if len(value) < _SHORTEST:
        return f"is shorter than {_SHORTEST} characters"
    if len(set(value)) < _SHORTEST // 2:
        return "repeats a few characters"
    if not _PLAIN.fullmatch(value):
        return "holds characters other than letters, digits and - _ . ~ ="
    return ""


def check(variables: Mapping[str, str]) -> None:
    """Refuse variables of which one is no credential, or is that of somebody else too. No value is shown.

    Raises:
        StackError: names every such variable and says how to generate one.
    """
    wrong = [f"{name} {why}" for name, value in variables.items() if (why := weakness(value))]
    sharing: dict[str, list[str]] = {}
    for name, value in variables.items():
        sharing.setdefault(value, []).append(name)
    wrong += [
        f"{' and '.join(names)} are the same"
        for value, names in sharing.items()
        if len(names) > 1 and not weakness(value)
    ]
    if wrong:
        raise StackError(f"Nothing starts with these credentials: {'; '.join(wrong)}.", _HOW)


def check_users(names: Mapping[str, str]) -> None:
    """Refuse users of the store that are one and the same: variable → name.

    Raises:
        StackError: names the variables.
    """
    sharing: dict[str, list[str]] = {}
    for variable, name in names.items():
        sharing.setdefault(name, []).append(variable)
    same = [" and ".join(variables) for name, variables in sharing.items() if name and len(variables) > 1]
    if same:
        raise StackError(
            f"Each key of the object store needs a name of its own: {'; '.join(same)} are the same.",
            "`.env.example` has the names that they have by default.",
        )


def read(path: Path) -> dict[str, str]:
    """The ``NAME=value`` lines of an env file."""
    found = (_LINE.fullmatch(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    return {line["name"]: line["value"] for line in found if line}


def write(example: Path, target: Path) -> list[str]:
    """Write ``target`` from ``example``, mode 0600: values that ``target`` has already stay, what is missing is made.

    Returns the names of the credentials that were generated.
    """
    known = read(target) if target.exists() else {}
    made, lines = [], []
    for line in example.read_text(encoding="utf-8").splitlines():
        found = _LINE.fullmatch(line.strip())
        if not found:
            lines.append(line)
            continue
        name, value = found["name"], known.pop(found["name"], found["value"])
        if name in GENERATED and value in ("", PLACEHOLDER):
            value = GENERATED[name]()
            made.append(name)
        lines.append(f"{name}={value}")
    lines += [f"{name}={value}" for name, value in known.items()]
    write_private(target, "\n".join(lines) + "\n")
    return made


def main() -> None:
    """``python -m lakehouse.stack.credentials`` writes `.env`; with ``check``, judges the environment."""
    try:
        if sys.argv[1:] == ["check"]:
            check({name: os.environ.get(name, "") for name in GENERATED})
            check_users({name: os.environ.get(name, "") for name in USERS})
            return
        project = Path(__file__).resolve().parents[3]
        made = write(project / ".env.example", project / ".env")
        told = f"generated {', '.join(made)}" if made else "it has all credentials already"
        sys.stdout.write(f".env: {told}. Only you can read it; it is never part of a commit.\n")
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
