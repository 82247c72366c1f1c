"""What one stack remembers between commands: folders, secrets, ports and the endpoints in use."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.errors import StackError
from lakehouse.stack.roles import new_passwords

#: Familiar ports first; a busy one is replaced by the next free one.
DEFAULT_PORTS = {"postgres": 5432, "s3": 9000, "airflow": 8080, "supervisor": 9010}


def checkout() -> Path:
    """The project the stack serves: ``LAKEHOUSE_PROJECT``, or the checkout this package lies in."""
    configured = os.environ.get("LAKEHOUSE_PROJECT")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class StackHome:
    """The folder that holds all state of one stack."""

    root: Path

    @classmethod
    def locate(cls) -> StackHome:
        """``LAKEHOUSE_HOME``, by default ``.lakehouse`` in the checkout."""
        configured = os.environ.get("LAKEHOUSE_HOME")
        return cls(Path(configured).expanduser().resolve() if configured else checkout() / ".lakehouse")

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pids, the supervisor's configuration, the lock."""
        return self.root / "run"

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.root / "airflow"

    @property
    def data_docs(self) -> Path:
        """The pages of what the gates have found."""
        return self.root / "data-docs"

    @property
    def site(self) -> Path:
        """The pages about the data itself."""
        return self.root / "site"

    @property
    def identity(self) -> str:
        """A short name that no other home on this machine has."""
        return f"lakehouse-{hashlib.sha256(str(self.root).encode()).hexdigest()[:12]}"

    def create(self) -> None:
        """Make the folders. As root others may pass through (Postgres runs as another user), never read."""
        fresh = not self.root.exists()
        self.root.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.logs, self.run, self.airflow):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Let one ``up`` or ``down`` at a time change this home; the lock goes with its process."""
        self.create()
        with (self.run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class S3Endpoint:
    """The object store in use. ``kind`` is ``endpoint`` (given from outside), ``minio`` or ``moto``.

    The first key is the pipeline's. Who lands files and who reads the lake have keys of their own, or none.
    """

    kind: str
    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    landing_key: str = ""
    landing_secret: str = field(default="", repr=False)
    reader_key: str = ""
    reader_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class StackState:
    """Secrets, ports and endpoints of a stack that has been brought up at least once."""

    passwords: dict[str, str] = field(repr=False)
    s3_password: str = field(repr=False)
    s3_keys: dict[str, str] = field(repr=False)
    airflow_password: str = field(repr=False)
    airflow_passwords: dict[str, str] = field(repr=False)
    supervisor_password: str = field(repr=False)
    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret: str = field(repr=False)
    ports: dict[str, int] = field(default_factory=dict)
    s3: S3Endpoint | None = None
    bucket: str = "lakehouse"

    @property
    def store(self) -> S3Endpoint:
        """The object store in use.

        Raises:
            StackError: none has been chosen yet.
        """
        if self.s3 is None:
            raise StackError("No object store has been chosen yet.", "Start the stack with `lakehouse up`.")
        return self.s3


def _fresh_secrets() -> dict[str, Any]:
    return {
        "passwords": new_passwords(),
        "s3_password": secrets.token_urlsafe(24),
        "s3_keys": {key: secrets.token_urlsafe(24) for key in ("pipeline", "landing", "reader")},
        "airflow_password": secrets.token_urlsafe(12),
        "airflow_passwords": {name: secrets.token_urlsafe(12) for name in ("operator", "viewer")},
        "supervisor_password": secrets.token_urlsafe(24),
        "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(48),
        "api_secret": secrets.token_urlsafe(48),
    }


def load(home: StackHome) -> StackState | None:
    """What the home remembers, or None when no stack was ever brought up there.

    Raises:
        StackError: the file is damaged.
    """
    path = home.root / "state.json"
    try:
        stored = json.loads(path.read_text())
        s3 = stored.pop("s3", None)
        fresh = _fresh_secrets()
        # Of roles that a later version has added.
        stored["passwords"] = fresh["passwords"] | stored["passwords"]
        return StackState(**{**fresh, **stored}, s3=S3Endpoint(**s3) if s3 else None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StackError(
            f"{path} is damaged: {error}",
            "Restore it, or start over with `make clean` (this deletes the stack's data).",
        ) from error


def load_or_create(home: StackHome) -> StackState:
    """What the home remembers; secrets are generated once, the first time."""
    state = load(home)
    if state is None:
        state = StackState(**_fresh_secrets())
        save(home, state)
    return state


def save(home: StackHome, state: StackState) -> None:
    """Remember, readable by nobody else."""
    write_private(home.root / "state.json", json.dumps(asdict(state), indent=2))


def required(home: StackHome) -> StackState:
    """The state of a stack that was brought up.

    Raises:
        StackError: there is none yet.
    """
    state = load(home)
    if state is None or state.s3 is None:
        raise StackError(f"There is no stack in {home.root} yet.", "Start it with `lakehouse up`.")
    return state


def write_private(path: Path, text: str) -> None:
    """Replace a file by one rename, mode 0600 from its first byte on."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    draft.replace(path)
