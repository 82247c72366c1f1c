"""Enough of PromQL to ask, of what an exporter shows now, which alerts would come. How long they wait is promtool's.

It knows what the rules in `deploy/monitoring` are made of, and refuses everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client.core import Metric

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
}


@dataclass(frozen=True)
class Moment:
    """What a scrape has shown, and the time at which it is looked at, in seconds since 1970."""

    series: Mapping[str, Mapping[Labels, float]]
    at: float

    @classmethod
    def of(cls, metrics: Iterable[Metric], at: float) -> Moment:
        """Of what a collector yields."""
        series: dict[str, dict[Labels, float]] = {}
        for metric in metrics:
            for sample in metric.samples:
                found = series.setdefault(sample.name, {})
                labels = frozenset(sample.labels.items())
                assert labels not in found, (sample.name, labels)
                found[labels] = sample.value
        return cls(series, at)

    def ask(self, query: str) -> list[dict[str, str]]:
        """The labels of the series that a query finds."""
        found = self._value(promql_parser.parse(query))
        assert isinstance(found, dict)
        return [dict(labels) for labels in found]

    def _value(self, node: Any) -> float | Vector:
        match node:
            case promql_parser.NumberLiteral():
                return float(node.val)
            case promql_parser.ParenExpr():
                return self._value(node.expr)
            case promql_parser.VectorSelector():
                return {
                    labels: value
                    for labels, value in self.series.get(str(node.name), {}).items()
                    if all(_fits(dict(labels), matcher) for matcher in node.matchers.matchers)
                }
            case promql_parser.Call() if node.func.name == "time":
                return self.at
            case promql_parser.Call() if node.func.name == "absent":
                return {} if self._value(node.args[0]) else {frozenset(): 1.0}
            case promql_parser.BinaryExpr():
                on = node.modifier.matching if node.modifier else None
                names = tuple(on.labels) if on else None
                return _combined(str(node.op), self._value(node.lhs), self._value(node.rhs), names)
        raise NotImplementedError(str(node))


def _fits(labels: Mapping[str, str], matcher: Any) -> bool:
    value = labels.get(matcher.name, "")
    kind = str(matcher.op).rpartition(".")[2]
    fits: dict[str, bool] = {
        "Equal": value == matcher.value,
        "NotEqual": value != matcher.value,
        "Re": re.fullmatch(matcher.value, value) is not None,
    }
    return fits[kind]


def _combined(
    op: str, left: float | Vector, right: float | Vector, on: tuple[str, ...] | None
) -> float | Vector:
    if isinstance(left, float):
        if isinstance(right, float):
            return _ARITHMETIC[op](left, right)
        return {labels: _ARITHMETIC[op](left, value) for labels, value in right.items()}
    if isinstance(right, float):
        return _paired(op, [(labels, value, right) for labels, value in left.items()])

    def key(labels: Labels) -> Labels:
        return labels if on is None else frozenset(pair for pair in labels if pair[0] in on)

    others = {key(labels): value for labels, value in right.items()}
    assert len(others) == len(right), "several series on the right side match one"
    if op == "unless":
        return {labels: value for labels, value in left.items() if key(labels) not in others}
    return _paired(
        op, [(labels, value, others[key(labels)]) for labels, value in left.items() if key(labels) in others]
    )


def _paired(op: str, pairs: Iterable[tuple[Labels, float, float]]) -> Vector:
    """A comparison filters, anything else computes."""
    if op in _COMPARISONS:
        return {labels: value for labels, value, other in pairs if _COMPARISONS[op](value, other)}
    return {labels: _ARITHMETIC[op](value, other) for labels, value, other in pairs}
