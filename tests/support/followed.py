"""Follows a page as a reader does: writes its files, runs its commands, compares what they print.

What a page must look like:

* a line with nothing but ``**`path`**`` and the block below it are a file; *At the end of* before it appends to it,
  with an empty line between;
* a ``bash`` block is run as it stands;
* a ``text`` block right below it is what comes out: its lines occur in this order. ``…`` stands for anything,
  and any space is as good as another.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"^(At the end of )?\*\*`([^`]+)`\*\*$")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Written:
    """A file to write; ``append``: at the end of what is there."""

    path: str
    text: str
    append: bool


@dataclass(frozen=True)
class Typed:
    """Commands for a shell, and the lines to see."""

    commands: str
    seen: tuple[str, ...]
    line: int


def copy_checkout(folder: Path) -> Path:
    """A copy of the checkout, with its ``.venv`` but without anything that a person or a stack has left in it."""
    root = Path(__file__).resolve().parents[2]
    for part in ("contracts", "dags", "docs", "great_expectations", "plugins", "sql", "tests"):
        if (root / part).exists():
            ignored = shutil.ignore_patterns("uncommitted", "__pycache__")
            shutil.copytree(root / part, folder / part, ignore=ignored)
    for page in [*root.glob("*.md"), root / "pyproject.toml"]:
        shutil.copy(page, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def steps(page: Path) -> Iterator[Written | Typed]:
    """What a page asks its reader to do, in order."""
    text = page.read_text(encoding="utf-8")
    blocks = list(_FENCE.finditer(text))
    for position, block in enumerate(blocks):
        language, body = block.groups()
        before = text[: block.start()].rstrip().rpartition("\n")[2]
        named = _FILE.match(before)
        if named:
            yield Written(named.group(2), body, bool(named.group(1)))
        elif language == "bash":
            following = blocks[position + 1] if position + 1 < len(blocks) else None
            told = following is not None and following.group(1) == "text"
            adjacent = told and following is not None and not text[block.end() : following.start()].strip()
            seen = following.group(2).splitlines() if following is not None and adjacent else []
            yield Typed(body, tuple(seen), text[: block.start()].count("\n") + 1)
        elif language not in {"text", "mermaid"}:
            raise AssertionError(f"{page.name}: a {language} block without a file's name: {body[:60]}")


def follow(page: Path, project: Path, environment: Mapping[str, str], timeout: float = 300) -> None:
    """Do what a page says, in a copy of the project.

    Raises:
        AssertionError: a command failed, or what it printed lacks a line of the page.
    """
    shell = project / ".shell"  # each block goes on with the variables of those before it
    shell.touch()
    for step in steps(page):
        if isinstance(step, Written):
            path = project / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if step.append else "w", encoding="utf-8") as target:
                target.write(f"\n{step.text}" if step.append else step.text)
            continue
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", f". ./.shell\n{step.commands}\nexport -p >.shell"],
            cwd=project,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=timeout,
        )
        told = f"{page.name}, line {step.line}: {step.commands}\n{done.stdout}"
        assert done.returncode == 0, told
        missing = first_missing(step.seen, done.stdout)
        assert missing is None, f"{missing!r} is not in the output (or not in this order).\n{told}"


def first_missing(expected: tuple[str, ...], printed: str) -> str | None:
    """The first expected line that does not come after those before it."""
    rest = iter(" ".join(line.split()) for line in printed.splitlines())
    for line in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))
        if line.strip() != "…" and not any(pattern.fullmatch(found) for found in rest):
            return line
    return None
