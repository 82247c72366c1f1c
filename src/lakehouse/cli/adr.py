"""`adr`: architecture decision records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

_ROW = re.compile(r"^\| \d{4} \|.*\n", re.MULTILINE)

app = typer.Typer(
    no_args_is_help=True, help="Decisions: one page each in `sql/adr`, with what was rejected and why."
)


def register(parent: typer.Typer) -> None:
    """Add the command group."""
    parent.add_typer(app, name="adr")


@app.callback()
def adr() -> None:
    """Keep `new` a command of its own, also while it is the only one."""


@app.command()
def new(
    title: Annotated[str, typer.Argument(help="A verb phrase: what is decided.")],
) -> None:
    """Write the page of a new decision from the template, and list it.

    The page is *proposed*: fill it in, have it reviewed (docs/reviewing.md), then write *accepted*.

    Example: `lakehouse adr new "Keep secrets in the environment"`
    """
    from lakehouse.contract.project import project_root

    typer.echo(str(new_page(project_root() / "sql" / "adr", title)))


def new_page(folder: Path, title: str) -> Path:
    """Write the next numbered page of ``folder`` and its row in the folder's README. Returns the page.

    Raises:
        LakehouseError: the title makes no name of two words or more, or another page has it.
    """
    from datetime import UTC, datetime

    from lakehouse.errors import LakehouseError

    title = " ".join(title.split()).rstrip(".")
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if "-" not in slug or not title.isascii():
        raise LakehouseError(
            f"{title!r} is not a verb phrase.",
            'Say what is decided, such as "Keep secrets in the environment".',
        )
    pages = sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md"))
    doubled = [p.name for p in pages if p.stem[5:] == slug]
    if doubled:
        raise LakehouseError(
            f"{doubled[0]} has that title.", "Change that page, or supersede it by another title."
        )
    number = f"{int(pages[-1].stem[:4]) + 1 if pages else 1:04}"
    page, index = folder / f"{number}-{slug}.md", folder / "README.md"
    template = (folder / "TEMPLATE.md").read_text(encoding="utf-8")
    text = template.format(number=number, title=title, date=datetime.now(UTC).date().isoformat())
    listed = index.read_text(encoding="utf-8")
    row = f"| {number} | [{title}]({page.name}) | proposed | _In one sentence._ |\n"
    rows = list(_ROW.finditer(listed))
    if not rows:
        raise LakehouseError(f"{index} has no table of decisions.", "Restore it from git.")
    end = rows[-1].end()
    page.write_text(text, encoding="utf-8")
    index.write_text(listed[:end] + row + listed[end:], encoding="utf-8")
    return page
