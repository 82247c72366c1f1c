"""Data Docs and the site behind Airflow's login, on a real API server: who may see what, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from lakehouse.home.pages import open_pages
from lakehouse.stack import laptop
from lakehouse.stack.network import any_free_port

from .airflow_support import Orchestra, like, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

SITE = "/lakehouse/site/kept/for-the-test.html"


@pytest.fixture(scope="module")
def client(orchestra: Orchestra) -> Iterator[httpx.Client]:
    """Nobody in particular."""
    pages = open_pages(orchestra.home.site)
    pages.write({"kept/for-the-test.html": b"for the test", "kept/a.css": b"b{}", "kept/a.js": b"1"})
    (orchestra.home.site / "kept" / "secrets.html").symlink_to(orchestra.home.root / "state.json")
    with httpx.Client(base_url=laptop.airflow_url(orchestra.state), trust_env=False, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def token(orchestra: Orchestra) -> str:
    """An administrator's."""
    with laptop.open_airflow(orchestra.state) as api:
        return str(api._client.headers["Authorization"]).removeprefix("Bearer ")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_who_is_logged_in_sees_pages_by_token_and_by_cookie(client: httpx.Client, token: str) -> None:
    for headers in (bearer(token), {"Cookie": f"_token={token}"}):
        answer = client.get(SITE, headers=headers)
        assert (answer.status_code, answer.text) == (200, "for the test")


def test_who_is_not_logged_in_sees_nothing(client: httpx.Client, token: str) -> None:
    for headers in ({}, bearer("nonsense"), {"Cookie": "_token=nonsense"}, bearer(token[:-4] + "AAAA")):
        for path in (
            SITE,
            "/lakehouse/data-docs/index.html",
            "/lakehouse/",
            "/lakehouse/nothing",
            "/lakehouse/site/",
        ):
            answer = client.get(path, headers=headers)
            assert answer.status_code in (401, 403), (path, headers)
            assert "for the test" not in answer.text


def test_a_browser_without_login_is_sent_to_the_login(client: httpx.Client) -> None:
    answer = client.get(SITE, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    login = client.get(answer.headers["Location"])
    assert login.status_code in (302, 303, 307)
    assert SITE.replace("/", "%2F") in login.headers["Location"]


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("viewer", 200), ("admin", 200)])
def test_who_may_not_see_plugins_is_refused(
    orchestra: Orchestra, client: httpx.Client, token: str, role: str | None, status: int
) -> None:
    answer = client.get(SITE, headers=bearer(like(orchestra, token, role)))
    assert answer.status_code == status
    assert ("for the test" in answer.text) == (status == 200)


def test_pages_are_what_they_say_and_may_fetch_from_here_only(client: httpx.Client, token: str) -> None:
    types = {"for-the-test.html": "text/html", "a.css": "text/css", "a.js": "text/javascript"}
    for name, kind in types.items():
        answer = client.get(f"/lakehouse/site/kept/{name}", headers=bearer(token))
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        scripts = policy.replace("style-src 'self' 'unsafe-inline'", "").replace("'", "")
        assert not {"unsafe-inline", "unsafe-eval", "*", "http:", "https:"} & set(scripts.split())
    docs = client.get("/lakehouse/data-docs/", headers=bearer(token))
    assert "unsafe" not in docs.headers["Content-Security-Policy"]
    again = client.get(
        SITE,
        headers=bearer(token) | {"If-None-Match": client.get(SITE, headers=bearer(token)).headers["ETag"]},
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "../state.json",
        "../../../../../../../../etc/passwd",
        "%2e%2e/state.json",
        "..%2fstate.json",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%252fstate.json",
        "kept/..%5c..%5cstate.json",
        "kept/%2e%2e/%2e%2e/state.json",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "kept/secrets.html",
        "kept",
        ".lock",
        "kept/for-the-test.html%00.png",
    ],
)
def test_nothing_else_on_the_machine_can_be_read(orchestra: Orchestra, token: str, path: str) -> None:
    """Sent as it is written: clients tidy such paths up."""
    request = (
        f"GET /lakehouse/site/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Connection: close\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", orchestra.state.ports["airflow"]), 30)) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
    assert answer.split(" ")[1] in ("404", "400"), answer[:200]
    assert orchestra.state.jwt_secret not in answer
    assert "root:" not in answer


def test_what_is_not_there_yet_says_how_to_make_it(client: httpx.Client, token: str) -> None:
    answer = client.get("/lakehouse/site/index.html", headers=bearer(token))
    assert "lakehouse run olist" in answer.text or answer.status_code == 200
    gone = client.get("/lakehouse/data-docs/gates/olist/silver/1999-01-01.html", headers=bearer(token))
    assert gone.status_code == 404
    assert "ops.quality_result" in gone.text


def test_both_are_in_the_menu(orchestra: Orchestra) -> None:
    plugins = orchestra.api.call("GET", "/plugins")["plugins"]
    (ours,) = [p for p in plugins if p["name"] == "lakehouse_pages"]
    assert {v["name"]: v["href"] for v in ours["external_views"]} == {
        "Data Docs": "/lakehouse/data-docs/index.html",
        "Lakehouse": "/lakehouse/site/index.html",
    }
    assert orchestra.api.call("GET", "/plugins/importErrors")["import_errors"] == []


def test_pages_on_s3_are_served_too(orchestra: Orchestra, token: str) -> None:
    """As in production: an API server that knows nothing but the prefix and its own connection to the store."""
    homes = orchestra.lakehouse.homes
    place, port = f"s3://{homes.bucket}/data-docs/of-a-test", any_free_port()
    open_pages(place, homes.s3).write({"index.html": b"on S3", "a/b.css": b"b{}"})
    environment = os.environ | laptop.own_environment(orchestra.home, orchestra.state)
    environment |= {"LAKEHOUSE_DATA_DOCS": place, "AIRFLOW__API__PORT": str(port)}
    command = [
        sys.executable,
        "-m",
        "airflow",
        "api-server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            wait_for(lambda: _answers(client), why="the API server")
            page = client.get("/lakehouse/data-docs/", headers=bearer(token))
            style = client.get("/lakehouse/data-docs/a/b.css", headers=bearer(token))
            refused = client.get("/lakehouse/data-docs/")
    finally:
        server.terminate()
        server.wait(60)
    assert (page.status_code, page.text) == (200, "on S3")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert refused.status_code == 401


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/v2/version").status_code == 200
    except httpx.TransportError:
        time.sleep(0.5)
        return False
