"""The audits that have pages, and what they found: the front page, trends and retention are made from this list.

It is one small file beside the pages, ``audits.json``, and as long as the number of audits kept, whatever the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

State = Literal["blocked", "warned", "passed"]
#: The worst first.
STATES: tuple[State, ...] = ("blocked", "warned", "passed")
#: Another format is as good as no list: it is made again from the stored results.
_FORMAT = 1


@dataclass(frozen=True)
class Outcome:
    """What became of one rule: ``failed`` of ``checked`` rows broke it."""

    state: State
    failed: int = 0
    checked: int = 0


@dataclass(frozen=True)
class Audit:
    """The audit of one table (``suite`` is ``<layer>.<table>``). ``place`` is its page, below ``validations/``."""

    suite: str
    place: str
    owner: str
    rules: Mapping[str, Outcome]

    @property
    def table(self) -> str:
        """The table's name, or that of the accounts: ``accounting``, ``olist_orders.removed``."""
        return self.suite.partition(".")[2]

    @property
    def state(self) -> State:
        """That of its worst rule."""
        return worst(outcome.state for outcome in self.rules.values())

    def count(self, state: State) -> int:
        """How many rules are in a state."""
        return sum(outcome.state == state for outcome in self.rules.values())

    @property
    def page(self) -> str:
        """The name of its page."""
        return f"validations/{self.place}.html"

    @property
    def result(self) -> str:
        """The name of what the page is made from."""
        return f"results/{self.place}.json"


@dataclass(frozen=True)
class Gate:
    """One audit of a layer for one partition. ``time`` is when, in ISO 8601 and UTC."""

    source: str
    layer: str
    day: str
    time: str
    audits: tuple[Audit, ...] = ()

    @property
    def verdict(self) -> State:
        """That of its worst audit. Blocked: nothing was published, of no table."""
        return worst(audit.state for audit in self.audits)

    @property
    def run(self) -> str:
        """Great Expectations' name of the run."""
        return f"{self.source}-{self.layer}-{self.day}"

    @property
    def page(self) -> str:
        """The name of its page, which is that of the last audit of the partition."""
        return f"gates/{self.source}/{self.layer}/{self.day}.html"

    @property
    def blocked_by(self) -> list[str]:
        """The tables with a broken hard rule."""
        return [audit.table for audit in self.audits if audit.state == "blocked"]


@dataclass(frozen=True)
class Kept:
    """All audits that have pages, the last first. ``written``: page → hash of what it was made from."""

    gates: tuple[Gate, ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)

    def adding(self, gate: Gate, keep: int) -> tuple[Kept, tuple[Gate, ...]]:
        """The list with one more, ``keep`` of each layer and source; and those that leave it."""
        others = (g for g in self.gates if (g.time, g.run) != (gate.time, gate.run))
        gates = sorted((gate, *others), key=lambda g: g.time, reverse=True)
        seen: dict[tuple[str, str], int] = {}
        gone = []
        for each in gates:
            lane = (each.source, each.layer)
            seen[lane] = seen.get(lane, 0) + 1
            if seen[lane] > keep:
                gone.append(each)
        return replace(self, gates=tuple(g for g in gates if g not in gone)), tuple(gone)

    def earlier(self, source: str, suite: str, time: str) -> list[tuple[Gate, Audit]]:
        """The audits of a table before a time, oldest first."""
        found = [
            (gate, audit)
            for gate in self.gates
            if gate.source == source and gate.time < time
            for audit in gate.audits
            if audit.suite == suite
        ]
        return found[::-1]

    def last_of_partitions(self) -> list[Gate]:
        """The last audit of every partition, the last first."""
        return list({gate.run: gate for gate in reversed(self.gates)}.values())[::-1]


def worst(states: Iterable[State]) -> State:
    """The worst of some states; passed when there are none."""
    return min(states, key=STATES.index, default="passed")


def read(data: bytes | None) -> Kept | None:
    """The list as :func:`write` has written it; None when there is none that can be read."""
    try:
        stored = json.loads(data or b"")
        if stored["format"] != _FORMAT:
            return None
        return Kept(tuple(_gate(g) for g in stored["gates"]), stored["written"])
    except (ValueError, KeyError, TypeError):
        return None


def write(kept: Kept) -> bytes:
    """The list as a file."""
    gates = [
        {**asdict(replace(gate, audits=())), "audits": [_stored(audit) for audit in gate.audits]}
        for gate in kept.gates
    ]
    return json.dumps({"format": _FORMAT, "gates": gates, "written": dict(kept.written)}).encode()


def _stored(audit: Audit) -> dict[str, Any]:
    rules = {rule: [o.state, o.failed, o.checked] for rule, o in audit.rules.items()}
    return {"suite": audit.suite, "place": audit.place, "owner": audit.owner, "rules": rules}


def _gate(stored: Mapping[str, Any]) -> Gate:
    return Gate(**{**stored, "audits": tuple(_audit(a) for a in stored["audits"])})


def _audit(stored: Mapping[str, Any]) -> Audit:
    return Audit(**{**stored, "rules": {rule: Outcome(*o) for rule, o in stored["rules"].items()}})


def by_day(gates: Sequence[Gate], layers: Sequence[str]) -> dict[str, list[Gate]]:
    """Day → its gates. The newest day first; in it what is worst first, then as data flows."""

    def order(gate: Gate) -> tuple[int, int, str]:
        layer = layers.index(gate.layer) if gate.layer in layers else len(layers)
        return STATES.index(gate.verdict), layer, gate.source

    days = sorted({gate.day for gate in gates}, reverse=True)
    return {day: sorted((g for g in gates if g.day == day), key=order) for day in days}
