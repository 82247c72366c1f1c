"""What a gate has found, for people: one object, as data and as text. Pure; nothing is asked of anybody here.

The causes come first: which rows were refused, in which file, for what. Then every rule that did not hold, and of
those that broke only because of refused rows, that they follow from them. It holds counts, keys of up to five rows (the
personal ones masked) and the shape of values (``99,99``), never a value; lists are cut, so that it fits into an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lakehouse.contract.model import Layer
    from lakehouse.quality.gate import RuleResult

Verdict = Literal["passed", "warned", "blocked"]

#: More than this is not read by anybody, and events are kept for long. What is left out is counted.
MAX_REFUSALS = 20
MAX_RULES = 40
MAX_TEXT = 300
#: As much as Airflow keeps of a note.
NOTE_CHARACTERS = 1000


@dataclass(frozen=True)
class Refusal:
    """Rows of one file that were refused for one reason.

    ``rows`` of the ``of`` rows that were read; ``lines`` are the first lines in the file. ``shapes``: how the values
    are written, digits as 9 and letters as a; empty for personal columns. ``meaning``: what the rule is for.
    """

    table: str
    file: str
    reason: str
    rows: int
    of: int
    lines: tuple[int, ...]
    shapes: tuple[str, ...] = ()
    meaning: str = ""

    def __str__(self) -> str:
        meaning = f" ({self.meaning})" if self.meaning else ""
        written = f", written like {' or '.join(self.shapes)}" if self.shapes else ""
        lines = ", ".join(map(str, self.lines))
        which = "line" if self.rows == 1 else "first lines"
        return (
            f"{self.table}: {_of(self.rows, self.of)} refused: {self.reason}{meaning}{written}; "
            f"{which} {lines} of {self.file.rpartition('/')[2]}"
        )


@dataclass(frozen=True)
class Broken:
    """A rule that did not hold.

    ``failed`` of ``checked`` rows (or what else is its ``unit``) broke it, where ``threshold`` says how many may;
    ``keys`` are those of the first five. ``follows_from`` names the tables whose refused rows made it break;
    ``surely`` when every broken row was found among what these lack. ``error``: not evaluated, which blocks.
    """

    severity: Literal["hard", "soft"]
    layer: str
    table: str
    rule: str
    failed: int
    checked: int
    threshold: str
    keys: tuple[str, ...]
    meaning: str
    follows_from: tuple[str, ...] = ()
    surely: bool = False
    error: str | None = None
    unit: str = "row"

    def __str__(self) -> str:
        head = f"{self.table}: {self.severity} rule {self.rule}"
        if self.error:
            return f"{head} could not be evaluated: {self.error}"
        what = (
            _of(self.failed, self.checked, self.unit) if self.failed else f"a table of {_rows(self.checked)}"
        )
        keys = f"; for example {', '.join(self.keys)}" if self.keys else ""
        return (
            f"{head} is broken by {what}, allowed: {self.threshold} ({self.meaning}){keys}{self._follows()}"
        )

    def _follows(self) -> str:
        if not self.follows_from:
            return ""
        how = "follows" if self.surely else "may follow"
        return f"; {how} from the rows that {' and '.join(self.follows_from)} lacks"


@dataclass(frozen=True)
class TableRows:
    """What became of a table's rows. ``read`` is None where rows are computed, not read from files (gold)."""

    table: str
    verdict: str
    read: int | None
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    quarantined: int = 0
    duplicates: int = 0
    conflicting: int = 0


@dataclass(frozen=True)
class Report:
    """All that people have to know of a gate. ``rules``: how many were checked. ``look``: queries to paste."""

    source: str
    layer: Layer
    partition_key: str
    run_id: int
    verdict: Verdict
    rules: int
    refused: tuple[Refusal, ...] = ()
    broken: tuple[Broken, ...] = ()
    tables: tuple[TableRows, ...] = ()
    look: tuple[str, ...] = ()
    left_out: int = 0
    published_at: str | None = field(default=None)

    @property
    def label(self) -> str:
        """How messages call the run."""
        return f"{self.source} {self.layer} {self.partition_key}"

    @property
    def hard(self) -> tuple[Broken, ...]:
        """What blocks."""
        return tuple(b for b in self.broken if b.severity == "hard")

    def as_json(self) -> dict[str, Any]:
        """As the ledger, XCom and the asset event keep it; :func:`read_report` reads it."""
        return {name: _lists(value) for name, value in asdict(self).items()}


def read_report(kept: Mapping[str, Any]) -> Report:
    """A report out of what :meth:`Report.as_json` has made, also after a way through JSON."""
    lists = {
        "refused": tuple(Refusal(**_tuples(r, "lines", "shapes")) for r in kept["refused"]),
        "broken": tuple(Broken(**_tuples(b, "keys", "follows_from")) for b in kept["broken"]),
        "tables": tuple(TableRows(**t) for t in kept["tables"]),
        "look": tuple(kept["look"]),
    }
    return Report(**{**kept, **lists})


def broken_rule(result: RuleResult, layer: str, allowed: str) -> Broken:
    """The entry of a rule that did not hold; ``allowed`` says how many rows may break it."""
    return Broken(
        severity=result.severity,
        layer=layer,
        table=result.table,
        rule=result.rule,
        failed=result.failed_rows,
        checked=result.checked_rows,
        threshold=allowed,
        keys=result.sample_keys,
        meaning=result.description,
        error=result.error,
    )


def bounded(report: Report) -> Report:
    """The report with its lists and texts cut: causes before consequences, hard rules before soft ones."""
    broken = sorted(report.broken, key=lambda b: (b.severity != "hard", bool(b.follows_from)))
    left_out = max(len(broken) - MAX_RULES, 0) + max(len(report.refused) - MAX_REFUSALS, 0)
    return replace(
        report,
        refused=tuple(
            replace(r, shapes=tuple(_cut(s, 40) for s in r.shapes[:3])) for r in report.refused[:MAX_REFUSALS]
        ),
        broken=tuple(
            replace(
                b, keys=tuple(map(_cut, b.keys[:5])), meaning=_cut(b.meaning), error=b.error and _cut(b.error)
            )
            for b in broken[:MAX_RULES]
        ),
        left_out=left_out,
    )


def cause_lines(report: Report) -> list[str]:
    """What is wrong, a line each, the cause first. Of a blocked run without what only warns; empty when all is well."""
    shown = report.hard or report.broken
    lines = [str(r) for r in report.refused] + [str(b) for b in shown]
    return lines + ([f"… and {report.left_out} more in ops.quality_result"] if report.left_out else [])


def rule_lines(report: Report) -> list[tuple[str, str]]:
    """The rules that did not hold, as a table: (severity, line); ``head`` is the severity of its first line.

    What is wide stands last, and meaning and keys below their rule, so that a log shows them without moving sideways.
    """
    if not report.broken:
        return []
    head = ("severity", "failed", "allowed", "table", "rule")
    rows = [
        (
            b.severity,
            "not evaluated" if b.error else f"{b.failed:,} of {b.checked:,}",
            b.threshold,
            f"{b.layer}.{b.table}",
            b.rule,
        )
        for b in report.broken
    ]
    first, *lines = _aligned([head, *rows])
    found = [("head", first)]
    for b, line in zip(report.broken, lines, strict=True):
        below = [b.error or b.meaning + b._follows(), *_filled(b.keys)]
        found += [(b.severity, text) for text in (line, *(f"{' ' * 10}{text}" for text in below if text))]
    return found


def row_lines(report: Report) -> list[str]:
    """What became of the rows, as a table with a line per table."""
    if not report.tables:
        return []
    names = ["read", "inserted", "updated", "deleted", "unchanged", "quarantined", "duplicates"]
    names += ["conflicting"] if any(t.conflicting for t in report.tables) else []
    rows = [[t.table, *(_number(getattr(t, name)) for name in names), t.verdict] for t in report.tables]
    return _aligned([["table", *names, "verdict"], *rows], right=range(1, len(names) + 1))


def lines(report: Report) -> list[str]:
    """The whole report as text, for a terminal: verdict, causes, rules, rows, where to look."""
    found = [headline(report)]
    found += [f"  {r}" for r in report.refused]
    found += [f"  {line}" for _, line in rule_lines(report)]
    found += [f"  … and {report.left_out} more in ops.quality_result"] if report.left_out else []
    found += [f"  {line}" for line in row_lines(report)]
    return found + [f"  look: {query}" for query in report.look]


def headline(report: Report) -> str:
    """The verdict in a line."""
    broken, soft = len(report.hard), len(report.broken) - len(report.hard)
    counts = [
        f"{n} {kind} rule{'s' * (n != 1)} broken" for n, kind in ((broken, "hard"), (soft, "soft")) if n
    ]
    kept_out = sum(t.quarantined for t in report.tables)
    if kept_out:
        counts.append(f"{_rows(kept_out)} refused")
    what = ", ".join(counts) or "every rule holds"
    return f"{report.label}: {report.verdict}; {what}, {report.rules} checked"


def note(report: Report) -> str:
    """The report as a note on a run, in Markdown, as long as Airflow keeps it."""
    parts = [f"**{report.verdict}** · {report.label}"]
    parts += [f"* {line}" for line in cause_lines(report)[:8]]
    if not report.hard:
        sums = {n: sum(getattr(t, n) for t in report.tables) for n in ("inserted", "updated", "deleted")}
        written = ", ".join(f"{rows:,} {name}" for name, rows in sums.items() if rows) or "nothing changed"
        parts.append(f"* {len(report.tables)} tables: {written}")
    parts += [f"* `{query}`" for query in report.look[:1]]
    text = "\n".join(parts)
    return text if len(text) <= NOTE_CHARACTERS else text[: NOTE_CHARACTERS - 1] + "…"


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines with columns of one width; the last one is as long as it is."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _filled(parts: Sequence[str], width: int = 90) -> list[str]:
    """Parts in as few lines as they fit into; none is broken."""
    found: list[str] = []
    for part in parts:
        if found and len(found[-1]) + len(part) + 3 <= width:
            found[-1] += f" · {part}"
        else:
            found.append(part)
    return found


def _of(rows: int, of: int, unit: str = "row") -> str:
    return f"{rows:,} of {_rows(of, unit)}"


def _rows(rows: int, unit: str = "row") -> str:
    return f"{rows:,} {unit}{'s' * (rows != 1)}"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _cut(text: str, length: int = MAX_TEXT) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _lists(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, tuple):
        return [_lists(one) for one in value]
    return {k: _lists(v) for k, v in value.items()} if isinstance(value, dict) else value


def _tuples(kept: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**kept, **{name: tuple(kept[name]) for name in names}}
