"""Airflow's REST API, as far as the command line needs it. Imports no Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Self, cast

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
)

from lakehouse.errors import LakehouseError, StackError

_PAGE = 100


def _last_answer(state: RetryCallState) -> httpx.Response:
    outcome = cast("Future[httpx.Response]", state.outcome)
    return outcome.result()


#: A question may be asked again when the server stumbled over it; nothing else may.
_REPEATED = Retrying(
    retry=retry_if_result(lambda answer: answer.status_code >= 500)
    | retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(5),
    wait=wait_exponential(multiplier=0.3),
    retry_error_callback=_last_answer,
)


class AirflowApi:
    """A logged-in client."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._credentials = {"username": user, "password": password}
        # Never through a proxy: Airflow is on loopback.
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        self._log_in()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _log_in(self) -> None:
        answer = self._send("POST", "/auth/token", json=self._credentials)
        if answer.status_code not in (200, 201):
            raise StackError(
                f"Airflow refuses the login ({answer.status_code}).",
                "Run `lakehouse down`, then `lakehouse up`.",
            )
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        request = _REPEATED.wraps(self._client.request) if method == "GET" else self._client.request
        try:
            return request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise StackError(
                f"Airflow does not answer at {self._client.base_url}: {error}",
                "Run `lakehouse up`; `lakehouse status` shows what is down.",
            ) from error

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call ``/api/v2<path>`` and return the decoded answer.

        Raises:
            LakehouseError: Airflow refuses; the message carries its reason.
        """
        answer = self._send(method, f"/api/v2{path}", **arguments)
        if answer.status_code == 401:  # the token has expired
            self._log_in()
            answer = self._send(method, f"/api/v2{path}", **arguments)
        if answer.is_error:
            raise LakehouseError(f"Airflow refused {method} {path} ({answer.status_code}): {_reason(answer)}")
        return answer.json() if answer.content else None

    def exists(self, path: str) -> bool:
        """Whether ``GET /api/v2<path>`` finds something."""
        return self._send("GET", f"/api/v2{path}").status_code == 200

    def pages(self, path: str, field: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All entries of a paged collection."""
        offset = 0
        while True:
            answer = self.call("GET", path, params={**parameters, "limit": _PAGE, "offset": offset})
            entries = answer[field]
            yield from entries
            offset += len(entries)
            if not entries or offset >= answer["total_entries"]:
                return

    def set_pools(self, pools: Mapping[str, tuple[int, str]]) -> None:
        """Create or update pools: name → (slots, description)."""
        for name, (slots, description) in pools.items():
            body = {"slots": slots, "description": description}
            if self.exists(f"/pools/{name}"):
                self.call("PATCH", f"/pools/{name}", json={"pool": name, "include_deferred": False, **body})
            else:
                self.call("POST", "/pools", json={"name": name, **body})


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail", answer.text)
    except ValueError:
        detail = answer.text
    return str(detail)[:2000]
