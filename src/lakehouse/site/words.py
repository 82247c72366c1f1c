"""How pages say numbers, days and verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from markupsafe import Markup

#: What stands where there is no value: an en dash.
NOTHING = "\u2013"


def count(value: int | float | None) -> str:
    """``1,234``; a dash for nothing."""
    return NOTHING if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """``12.3 k``, ``4.5 M``: three digits that can be read at a glance."""
    if value is None:
        return NOTHING
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if letter == "k" else size)
            digits = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
            return f"{scaled:,.{digits}f} {letter}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.2f}"


def share(value: float | None, digits: int = 1) -> str:
    """``7.9 %``; what is there, but too little to be seen, is ``< 0.1 %``."""
    if value is None:
        return NOTHING
    least = 10.0**-digits
    return f"< {least:g} %" if 0 < 100 * value < least / 2 else f"{100 * value:.{digits}f} %"


def figure(value: float | None, unit: str) -> str:
    """A headline number with its unit."""
    if unit == "share":
        return share(value)
    return f"{unit} {short(value)}" if unit == "BRL" else short(value)


def moment(value: datetime | None) -> Markup:
    """A time in UTC; a script adds how long ago that was."""
    if value is None:
        return Markup("&ndash;")
    utc = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M UTC")
    )


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``3 h``, ``5 d``."""
    if seconds is None:
        return NOTHING
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def verdict(value: str | None) -> Markup:
    """A verdict or status as a small label, told apart by word and mark, not by colour alone."""
    known = {
        "passed": ("good", "✓"),
        "warned": ("warn", "!"),
        "blocked": ("bad", "✕"),
        "failed": ("bad", "✕"),
        "overtaken": ("warn", "!"),
        "hard": ("bad", ""),
        "row": ("warn", ""),
        "soft": ("warn", ""),
        "published": ("good", "✓"),
    }
    colour, sign = known.get(value or "", ("calm", ""))
    return Markup('<span class="tag {}">{}{}</span>').format(
        colour, Markup('<span aria-hidden="true">{} </span>').format(sign) if sign else "", value or "none"
    )


def day(value: date | str | None) -> str:
    """``2018-10-17``."""
    return NOTHING if value is None else str(value)


def breakable(name: str) -> Markup:
    """A long name that may be broken after its underscores and dots, and nowhere else."""
    return Markup("").join(
        Markup("{}<wbr>").format(part) if part in "._" else Markup("{}").format(part)
        for part in re.split(r"([._])", name)
        if part
    )


def plural(number: int, one: str, many: str = "") -> str:
    """``1 rule``, ``6 rules``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "short": short,
    "share": share,
    "figure": figure,
    "moment": moment,
    "duration": duration,
    "verdict": verdict,
    "day": day,
    "plural": plural,
    "breakable": breakable,
}
