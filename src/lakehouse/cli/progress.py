"""Show what takes time: live lines on a terminal, plain lines in a log file. Always on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Self

from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.progress import Task as ProgressTask
from rich.text import Text

#: In a log file: say after this many seconds that a step is still at work.
_STILL_SECONDS = 20.0
#: On a terminal: so many lines are kept live.
_LIVE_LINES = 20

#: How a step ended: done, failed, left out, not finished.
Mark = Literal["✓", "✗", "·", "!"]
_COLORS: dict[str, str] = {"✓": "green", "✗": "red", "·": "dim", "!": "yellow"}


def seconds(value: float) -> str:
    """``0.8 s``, ``2 min 05 s``."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60):02d} s"


class _Elapsed(TextColumn):
    """Seconds of a step, shown from the first tenth on."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: ProgressTask) -> Text:
        return Text(
            seconds(task.finished_time if task.finished_time is not None else task.elapsed or 0.0), "cyan"
        )


class _Mark(SpinnerColumn):
    """Turns while a step is at work, then shows how it ended."""

    def render(self, task: ProgressTask) -> RenderableType:
        mark = str(task.fields["mark"])
        return Text(mark, _COLORS[mark]) if task.finished else super().render(task)


class Step:
    """A step at work. Called with a text, it shows that beside its name; ``mark`` is how it will have ended."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.mark: Mark = "✓"

    def __call__(self, text: str) -> None:
        """Show ``text`` beside the step's name, in place of what is there."""
        self._show(text)


class RichReporter:
    """Steps, notes and warnings for a person. Steps may run beside each other."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            _Mark(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            _Elapsed(),
            console=self.console,
        )
        self._live = self.console.is_terminal
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._progress.stop()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step until it ends: by its mark, or by an exception, which is a failure."""
        started = time.monotonic()
        with self._live_step(name) if self._live else self._logged_step(name) as step:
            try:
                yield step
            except BaseException as error:
                step.mark = "!" if isinstance(error, KeyboardInterrupt) else "✗"
                raise
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    @contextmanager
    def _live_step(self, name: str) -> Iterator[Step]:
        task: TaskID = self._progress.add_task(name, total=1, detail="", mark="✓")
        step = Step(lambda text: self._progress.update(task, detail=text))
        try:
            yield step
        finally:
            self._progress.update(task, completed=1, mark=step.mark)
            self._scroll_up()

    def _scroll_up(self) -> None:
        """Let the first finished lines become text above the live ones, which must all fit on the screen."""
        with self._lock:
            finished = [task for task in self._progress.tasks if task.finished]
            for task in finished[: max(0, len(self._progress.tasks) - _LIVE_LINES)]:
                self.console.print(self._progress.make_tasks_table([task]))
                self._progress.remove_task(task.id)

    @contextmanager
    def _logged_step(self, name: str) -> Iterator[Step]:
        started, current, finished = time.monotonic(), [""], threading.Event()

        def remind() -> None:
            while not finished.wait(_STILL_SECONDS):
                self._line(f"… {name} {current[0]} ({seconds(time.monotonic() - started)})")

        def detail(text: str) -> None:
            current[0] = text

        threading.Thread(target=remind, daemon=True).start()
        step = Step(detail)
        try:
            yield step
        finally:
            finished.set()
            self._line(f"{step.mark} {name} {current[0]} {seconds(time.monotonic() - started)}")

    def note(self, text: str) -> None:
        """Something to know."""
        self._line(f"• {text}")

    def warn(self, text: str) -> None:
        """Something to worry about."""
        self.console.print(Text(f"! {text}", "bold yellow"))

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
