"""`docs`: the Data Docs of the stack, without Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from lakehouse.home.homes import S3Access
    from lakehouse.home.pages import Pages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(docs)


def docs(
    open_browser: Annotated[bool, typer.Option("--open", help="Open the front page in a browser.")] = False,
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 0,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make all pages again from the stored results, and end.")
    ] = False,
) -> None:
    """Serve the Data Docs on this machine: what the last gates of each layer have found, table by table.

    They are the same pages as under *Data Docs* in Airflow's menu. Nobody else can reach them: the server listens on
    127.0.0.1 only. It ends with Ctrl-C.

    Example: `lakehouse docs --open`
    """
    import webbrowser

    if rebuild:
        typer.echo(f"Made the pages of {_rebuild()} audits again.")
        return
    with serve(_pages(), port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/index.html"
        typer.echo(f"Data Docs: {address} (Ctrl-C ends)")
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("")


def _rebuild() -> int:
    from lakehouse.contract import Project
    from lakehouse.quality.docs import docs_target

    where = place()
    target = docs_target(Project.load(), where, _access(where))
    return target.rebuild() if target else 0


def serve(pages: Pages, port: int) -> ThreadingHTTPServer:
    """A server of these pages, on loopback; nothing is served before ``serve_forever``.

    Raises:
        LakehouseError: the port is taken.
    """
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import unquote, urlsplit

    from lakehouse.errors import LakehouseError
    from lakehouse.home.pages import media_type

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD."""

        def do_GET(self) -> None:
            """A page, or 404."""
            name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
            # Another site's page in the same browser must not read these through a name that it owns.
            host = str(self.headers.get("Host", "")).rpartition(":")[0]
            found = pages.read(name) if host in ("127.0.0.1", "localhost") else None
            if found is None:
                self.send_error(404, "There is no such page")
                return
            self.send_response(200)
            self.send_header("Content-Type", media_type(name))
            self.send_header("Content-Length", str(len(found.data)))
            self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(found.data)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise LakehouseError(f"Port {port} cannot be used: {error.strerror}.", "Leave --port out.") from error


def _pages() -> Pages:
    """The pages of the stack.

    Raises:
        LakehouseError: there are none yet.
    """
    from lakehouse.errors import LakehouseError
    from lakehouse.home.pages import open_pages

    where = place()
    pages = open_pages(where, _access(where))
    if pages.read("index.html") is None:
        raise LakehouseError(
            f"There are no Data Docs in {where} yet.",
            "A gate writes them: `lakehouse run olist`. Pages that got lost: `lakehouse docs --rebuild`.",
        )
    return pages


def place() -> str:
    """What the environment names, else the folder of the stack, which need not run."""
    import os

    from lakehouse.stack.state import StackHome

    return os.environ.get("LAKEHOUSE_DATA_DOCS") or str(StackHome.locate().data_docs)


def _access(where: str) -> S3Access | None:
    if not where.startswith("s3://"):
        return None
    from lakehouse.cli.context import settings
    from lakehouse.home.homes import s3_access

    return s3_access(settings())
