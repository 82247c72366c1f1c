"""The lines that show what is being done: their marks are true."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from lakehouse.cli.progress import RichReporter


def shown(*, terminal: bool) -> tuple[RichReporter, io.StringIO]:
    stream = io.StringIO()
    return RichReporter(Console(file=stream, force_terminal=terminal, width=100)), stream


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_ends_as_it_was_told(terminal: bool) -> None:
    reporter, stream = shown(terminal=terminal)
    with reporter:
        for mark in ("✓", "✗", "·", "!"):
            with reporter.step(f"step {mark}") as step:
                step("at work [not markup]")
                step.mark = mark
    for mark in ("✓", "✗", "·", "!"):
        assert f"{mark} step {mark} at work [not markup]" in plain(stream)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(("error", "mark"), [(ValueError, "✗"), (KeyboardInterrupt, "!")])
def test_a_step_that_raises_has_no_tick(terminal: bool, error: type[BaseException], mark: str) -> None:
    reporter, stream = shown(terminal=terminal)
    with pytest.raises(error), reporter, reporter.step("step"):
        raise error
    assert f"{mark} step" in plain(stream)
    assert "✓" not in plain(stream)


def test_seconds_of_a_step_are_kept() -> None:
    reporter, _ = shown(terminal=False)
    with reporter.step("step"):
        time.sleep(0.01)
    assert reporter.seconds["step"] >= 0.01


def plain(stream: io.StringIO) -> str:
    """What is on the screen, without colours."""
    from rich.text import Text

    return " ".join(Text.from_ansi(stream.getvalue()).plain.split())
