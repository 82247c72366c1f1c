"""`lakehouse docs`: the pages on loopback, nothing else, to nobody else."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakehouse.cli.docs import serve
from lakehouse.cli.main import app
from lakehouse.home.pages import LocalPages


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    pages = LocalPages(tmp_path / "pages")
    pages.write({"index.html": b"front", "assets/a.css": b"b{}", "a/b c.html": b"<p>"})
    (tmp_path / "secret.txt").write_text("secret")
    with serve(pages, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def get(port: int, path: str, **headers: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Host": f"127.0.0.1:{port}"} | headers)
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read()


def test_pages_are_served(port: int) -> None:
    assert get(port, "/") == (200, "text/html; charset=utf-8", b"front")
    assert get(port, "/index.html?x=1") == (200, "text/html; charset=utf-8", b"front")
    assert get(port, "/a/b%20c.html")[2] == b"<p>"
    assert get(port, "/assets/a.css")[1] == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/a",
        "/none",
    ],
)
def test_nothing_else_is(port: int, path: str) -> None:
    status, _, body = get(port, path)
    assert status == 404
    assert b"secret" not in body


def test_a_name_of_somebody_elses_is_refused(port: int) -> None:
    assert get(port, "/", Host=f"evil.example:{port}")[0] == 404


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    with serve(LocalPages(tmp_path), 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_without_pages_it_says_how_to_get_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.delenv("LAKEHOUSE_DATA_DOCS", raising=False)
    answer = CliRunner().invoke(app, ["docs"])
    assert answer.exit_code == 1
    assert f"There are no Data Docs in {tmp_path}/data-docs yet." in answer.output
    assert "lakehouse run olist" in answer.output
