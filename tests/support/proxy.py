"""A connection to a server that can be slow, be cut off, or fall silent at a moment that a test chooses."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from lakehouse.stack.network import LOOPBACK

#: pass: hand it on. cut: reset both sides, it never arrives. half: hand on half of it, and close both sides as if that
#: were all. swallow: say nothing.
Verdict = Literal["pass", "cut", "half", "swallow"]
#: up: from the client to the server; down: the answer.
Direction = Literal["up", "down"]


@dataclass
class Link:
    """One connection through the proxy; ``notes`` are a rule's."""

    client: socket.socket
    server: socket.socket
    notes: dict[str, int] = field(default_factory=dict)

    def close(self, *, reset: bool) -> None:
        """End both sides, with a reset as a broken network or a killed server does."""
        ends = (self.client, self.server)
        for end in ends:
            with suppress(OSError):  # closed already
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Whoever reads from it would keep it open.
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        time.sleep(0.02)
        for end in ends:
            end.close()


Rule = Callable[[Link, Direction, bytes], Verdict]


def _pass(_link: Link, _direction: Direction, _data: bytes) -> Verdict:
    return "pass"


class Proxy:
    """Listens on a port of its own and hands on what comes, as slowly as it is told.

    ``rule`` decides about each piece of data; ``cuts`` counts the connections that it ended. ``is_down``: nobody
    answers at all.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.rule: Rule = _pass
        self.latency_s = 0.0
        self.bytes_per_s = 0.0
        self.is_down = False
        self.cuts = 0
        self._links: list[Link] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def heal(self) -> None:
        """From now on nothing is in the way."""
        self.rule, self.latency_s, self.bytes_per_s, self.is_down = _pass, 0.0, 0.0, False

    def cut_all(self) -> None:
        """Reset every connection that is open."""
        for link in self._links:
            link.close(reset=True)
        self._links.clear()

    def stop(self) -> None:
        """Listen no more."""
        self.is_down = True
        self._listening.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                if self.is_down:
                    raise ConnectionRefusedError
                server = socket.create_connection((LOOPBACK, self._target), timeout=5)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, server)
            self._links.append(link)
            for direction in ("up", "down"):
                threading.Thread(target=self._pump, args=(link, direction), daemon=True).start()

    def _pump(self, link: Link, direction: Direction) -> None:
        source, sink = (link.client, link.server) if direction == "up" else (link.server, link.client)
        try:
            while data := source.recv(64 * 1024):
                verdict = self.rule(link, direction, data)
                if verdict in ("cut", "half"):
                    self.cuts += 1
                    if verdict == "half":
                        sink.sendall(data[: len(data) // 2])
                    link.close(reset=verdict == "cut")
                    return
                if verdict == "swallow":
                    continue
                time.sleep(self.latency_s + (len(data) / self.bytes_per_s if self.bytes_per_s else 0))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            link.close(reset=False)
