"""`docker-compose.yml` as a container engine reads it: anchors merged, variables put in, `.env` beside the shell's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lakehouse.stack import credentials

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"

Service = dict[str, Any]

#: ``${NAME}``, ``${NAME:-default}``, ``${NAME-default}``, ``${NAME:?what to do}``.
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?:(?P<kind>:-|-|:\?)(?P<rest>[^}]*))?\}")


def raw() -> dict[str, Any]:
    """The file with its variables still in it."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def put_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace variables as compose does.

    Raises:
        LookupError: a required one is missing or empty.
    """

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        given = variables.get(name)
        if kind == ":?" and not given:
            raise LookupError(f"{name}: {rest}")
        if (kind == ":-" and not given) or (kind == "-" and given is None):
            return rest
        return given or ""

    return VARIABLE.sub(value, text)


def resolved(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with all variables put in."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        return put_in(node, variables) if isinstance(node, str) else node

    made: dict[str, Any] = walk(raw())
    return made


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Name → service, all variables put in."""
    found: dict[str, Service] = resolved(variables)["services"]
    return found


def filled_in(folder: Path) -> dict[str, str]:
    """What `make secrets` would write, as a mapping."""
    target = folder / "env"
    credentials.write(EXAMPLE, target)
    return credentials.read(target)


def texts(node: Any) -> Iterator[str]:
    """Every text of a document, keys included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def in_order(found: Mapping[str, Service]) -> list[str]:
    """Service names, each after those it waits for."""
    from graphlib import TopologicalSorter

    graph = {name: set(service.get("depends_on", {})) for name, service in found.items()}
    return list(TopologicalSorter(graph).static_order())


def is_job(service: Service) -> bool:
    """Whether a service runs to its end."""
    return bool(service["restart"] == "no")
