"""Great Expectations imported: quickly, quiet, reporting to nobody."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator


def load() -> None:
    """Import Great Expectations, which takes seconds, without what only expectations that nobody uses here need."""
    _postpone("scipy", "stats")
    with quietly():
        importlib.import_module("great_expectations")


def _postpone(package: str, name: str) -> None:
    """Let a module be imported when it is first used: this one takes a third of the time that the others take."""
    full = f"{package}.{name}"
    spec = None if full in sys.modules else importlib.util.find_spec(full)
    if spec is None or spec.loader is None:
        return
    spec.loader = loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[full] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    setattr(sys.modules[package], name, module)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what Great Expectations prints, warns and logs about itself out of the logs of tasks."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
