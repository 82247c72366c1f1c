"""Every error that a person should read, with the next step to take."""

from __future__ import annotations


class LakehouseError(Exception):
    """Something a person can act on: what happened, and what to do next.

    The command line prints both lines and exits with 1; Airflow shows them at the end of a task's log.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[LakehouseError], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class ContractError(LakehouseError):
    """A contract or a gold model is not what the reader accepts."""


class FileDefect(LakehouseError):
    """A landed file is broken; names file, line and column."""


class GateFailed(LakehouseError):
    """A hard rule was broken: nothing of this partition has been published."""


class StaleStage(LakehouseError):
    """The target changed after these rows were staged; stage them again."""


class StackError(LakehouseError):
    """A server of the laptop stack could not be started, reached or stopped."""


class DiskFull(LakehouseError):
    """A disk is full: of this machine, the warehouse or the object store. Nothing was published."""


class Unreachable(LakehouseError):
    """The warehouse or the object store does not answer, or broke off. Nothing was published that is not whole."""
