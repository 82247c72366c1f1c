"""The client of Airflow's API against a server that stumbles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lakehouse.errors import LakehouseError, StackError
from lakehouse.stack.airflow_api import AirflowApi


@dataclass
class Stumbling:
    """A server that answers its first ``failures`` requests, but for the login, with 500."""

    failures: int
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        if path == "/auth/token":
            return 201, b'{"access_token": "t"}'
        self.asked.append(method)
        return (500, b"oh") if len(self.asked) <= self.failures else (200, b'{"found": true}')


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Stumbling]:
    stumbling = Stumbling(request.param)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = stumbling.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    stumbling.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield stumbling
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("server", [2], indirect=True)
def test_a_question_is_asked_again_when_the_server_stumbles(server: Stumbling) -> None:
    with AirflowApi(server.url, "user", "password") as api:
        assert api.call("GET", "/dags") == {"found": True}
    assert server.asked == ["GET"] * 3


@pytest.mark.parametrize("server", [99], indirect=True)
def test_a_server_that_only_stumbles_is_told(server: Stumbling) -> None:
    with AirflowApi(server.url, "user", "password") as api, pytest.raises(LakehouseError, match="500"):
        api.call("GET", "/dags")


@pytest.mark.parametrize("server", [1], indirect=True)
def test_what_changes_something_is_sent_once(server: Stumbling) -> None:
    with AirflowApi(server.url, "user", "password") as api, pytest.raises(LakehouseError, match="500"):
        api.call("POST", "/dags/x/dagRuns", json={})
    assert server.asked == ["POST"]


def test_no_server_at_all_is_told_with_the_next_step() -> None:
    with (
        pytest.raises(StackError, match="does not answer") as caught,
        AirflowApi("http://127.0.0.1:1", "u", "p"),
    ):
        pass
    assert "lakehouse up" in caught.value.hint
