"""Data Docs and the site inside Airflow's UI: two folders of pages, behind Airflow's login.

Airflow mounts a plugin's application without any protection. Every address here asks Airflow whether this user may see
plugins, by the UI's cookie or a token; when that question cannot be asked, nothing is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from lakehouse.home.pages import Pages, media_type, open_pages
from lakehouse.orchestrate.homes import data_docs, s3_access, site
from lakehouse.orchestrate.links import base_path

log = logging.getLogger(__name__)

#: Folder of the address → where its pages are, and what to do when there are none.
_FOLDERS = {
    "data-docs": (
        data_docs,
        "No gate has audited anything yet. Run <code>lakehouse run olist</code>, or trigger a DAG.",
    ),
    "site": (
        site,
        "The site is built after the first publish. Run <code>lakehouse run olist</code>, or trigger a DAG.",
    ),
}
#: Nothing that a page holds can make a browser run it, fetch from, or send to, anywhere else.
_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
#: Charts and diagrams of the site are drawn by libraries that bring their styles along.
_POLICY_OF_SITE = f"{_POLICY}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Asked for each time, so that no old verdict is shown, nor anything to somebody who has logged out.
    "Cache-Control": "private, no-cache",
}
_MESSAGE = """\
<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>
"""


def application() -> FastAPI:
    """What Airflow's API server mounts under ``/lakehouse``."""
    app = FastAPI(
        title="Lakehouse pages",
        dependencies=[Depends(_guard())],
        openapi_url=None,  # would be shown to everybody
    )
    app.exception_handler(HTTPException)(_refuse)
    app.api_route("/{folder}/{name:path}", methods=["GET", "HEAD"], response_model=None)(_page)
    app.api_route("/{name:path}", methods=["GET", "HEAD"], response_model=None)(_no_page)
    return app


def _guard() -> Callable[..., Any]:
    """Asks Airflow whether the user may see plugins; refuses everybody when that cannot be asked."""
    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import requires_access_view

        return requires_access_view(AccessView.PLUGINS)
    except Exception:
        log.exception("Airflow's access check cannot be loaded: Data Docs and the site are closed.")
        return _closed


def _closed() -> None:
    raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "Airflow's access check cannot be loaded.")


def _refuse(request: Request, refused: HTTPException) -> Response:
    """Send people to the login, tell programs why."""
    if refused.status_code == HTTPStatus.UNAUTHORIZED and "text/html" in request.headers.get("accept", ""):
        login = f"{base_path()}/api/v2/auth/login?next={quote(request.url.path, safe='')}"
        return RedirectResponse(login, HTTPStatus.SEE_OTHER)
    return _message(refused.status_code, HTTPStatus(refused.status_code).phrase, str(refused.detail))


def _page(folder: str, name: str, request: Request) -> Response:
    """A page of a folder. In a thread: the store may have to be asked."""
    if folder not in _FOLDERS:
        return _no_page(name)
    place, none_yet = _FOLDERS[folder]
    name = f"{name}index.html" if name == "" or name.endswith("/") else name
    pages = _pages(place())
    found = pages.read(name) if pages else None
    if found is None:
        return (
            _message(HTTPStatus.OK, "Nothing here yet", none_yet) if name == "index.html" else _no_page(name)
        )
    token = f'"{found.token.strip(chr(34))}"'  # S3's has its quotes already
    policy = _POLICY_OF_SITE if folder == "site" else _POLICY
    headers = {**_HEADERS, "ETag": token, "Content-Security-Policy": policy}
    if request.headers.get("if-none-match") == token:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.data, headers=headers, media_type=media_type(name))


def _no_page(name: str) -> Response:
    return _message(
        HTTPStatus.NOT_FOUND,
        "There is no such page",
        "It never was, or its audit is no longer kept. The results of all audits are in "
        "<code>ops.quality_result</code>.",
    )


@cache
def _pages(place: str) -> Pages | None:
    """The pages at a folder or S3 prefix; the store is reached as tasks reach it."""
    return open_pages(place, s3_access() if place.startswith("s3://") else None) if place else None


def _message(status: int, title: str, text: str) -> Response:
    return HTMLResponse(_MESSAGE.format(title=title, text=text), status, headers=_HEADERS)
