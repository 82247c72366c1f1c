"""The object store: an endpoint that is given, MinIO, or in the last resort moto's server in memory."""

from __future__ import annotations

import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lakehouse.errors import StackError
from lakehouse.stack.minio import resolve_minio
from lakehouse.stack.network import LOOPBACK, any_free_port
from lakehouse.stack.tether import Tethered, start_tethered

REGION = "us-east-1"
#: MinIO's own user, who sets up the bucket, the users and their policies.
ROOT = "lakehouse"


@dataclass(frozen=True)
class S3Server:
    """A reachable S3 API and its credentials."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    tethered: Tethered | None = None
    region: str = REGION

    def stop(self) -> None:
        """Stop a server that `start_s3` started."""
        if self.tethered:
            self.tethered.stop()


def access_key(role: str) -> str:
    """The user of the store for ``pipeline``, ``landing`` or ``reader``."""
    return f"{ROOT}-{role}"


def minio_command(binary: Path, data: Path, port: int, *, listen: str = LOOPBACK) -> list[str]:
    """The command that runs MinIO in the foreground, on loopback only; in a container, where it can be reached."""
    return [
        str(binary),
        "server",
        "--quiet",
        "--address",
        f"{listen}:{port}",
        # Its default is a folder in the user's home, which is not ours.
        "--certs-dir",
        str(data.parent / "certs"),
        str(data),
    ]


def minio_environment(access_key: str, secret_key: str) -> dict[str, str]:
    """Variables for MinIO: its credentials, no web console, no look for updates."""
    return {
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_REGION": REGION,
    }


def moto_command(port: int) -> list[str]:
    """The command that runs moto's S3 in memory: everything is lost when it stops."""
    return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]


def wait_until_ready(endpoint: str, *, timeout: float = 30.0, alive: Tethered | None = None) -> None:
    """Wait until the S3 API answers anything at all over HTTP.

    Raises:
        StackError: it ended, or did not answer in time.
    """
    # Never through a proxy: the endpoint may be on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + timeout
    while True:
        try:
            opener.open(endpoint, timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            # 403 is the healthy answer to an anonymous request; 5xx means it is still starting.
            if answer.code < 500:
                return
        except OSError as error:
            if alive and not alive.alive:
                raise StackError("The S3 server ended at once.", "Read `lakehouse logs s3`.") from error
        if time.monotonic() > deadline:
            raise StackError(f"No S3 API answers at {endpoint}.", "Read `lakehouse logs s3`.")
        time.sleep(0.05)


def set_users(server: S3Server, users: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """Create MinIO's users, or make them again what they are defined to be.

    Args:
        server: with the credentials of its root.
        users: access key → its secret key and its policy.

    Raises:
        StackError: MinIO refused.
    """
    from minio.credentials.providers import StaticProvider
    from minio.error import MinioAdminException
    from minio.minioadmin import MinioAdmin

    address = urlsplit(server.endpoint)
    admin = MinioAdmin(
        endpoint=address.netloc,
        credentials=StaticProvider(server.access_key, server.secret_key),
        region=server.region,
        secure=address.scheme == "https",
    )
    try:
        for user, (secret_key, policy) in users.items():
            admin.policy_add(user, policy=dict(policy))
            admin.user_add(user, secret_key)
            admin.policy_set(user, user=user)
    except (MinioAdminException, OSError) as error:
        raise StackError(f"MinIO did not take its users: {error}", "Read `lakehouse logs s3`.") from error


def start_s3(home: Path, port: int | None = None) -> S3Server:
    """Start a throwaway MinIO; it ends with this process at the latest."""
    binary = resolve_minio()
    port = port or any_free_port()
    access_key, secret_key = ROOT, secrets.token_urlsafe(24)
    data = home / "s3" / "data"
    data.mkdir(parents=True, exist_ok=True)
    tethered = start_tethered(
        minio_command(binary, data, port),
        log=home / "s3.log",
        environment={**os.environ, **minio_environment(access_key, secret_key)},
    )
    server = S3Server(f"http://{LOOPBACK}:{port}", access_key, secret_key, tethered)
    try:
        wait_until_ready(server.endpoint, alive=tethered)
    except BaseException:
        tethered.stop()
        raise
    return server
