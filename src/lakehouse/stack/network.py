"""Ports on the loopback interface. Nothing in the stack ever listens anywhere else."""

from __future__ import annotations

import socket

from lakehouse.errors import StackError

LOOPBACK = "127.0.0.1"
#: How far above a busy default port we look; two or three checkouts side by side fit many times.
SEARCH_RANGE = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A port whose last connections are still in TIME_WAIT counts as free: servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return not is_answering(port)


def is_answering(port: int) -> bool:
    """Whether somebody accepts connections on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def next_free_port(preferred: int, taken: frozenset[int] = frozenset()) -> int:
    """The preferred port, or the next free one above it that is not in ``taken``.

    Raises:
        StackError: the whole range is busy.
    """
    for port in range(preferred, preferred + SEARCH_RANGE):
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port between {preferred} and {preferred + SEARCH_RANGE - 1}.",
        "Stop what listens there (`ss -ltnp` lists it), then run `lakehouse up` again.",
    )


def any_free_port() -> int:
    """A port that the operating system says is free; for tests."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
