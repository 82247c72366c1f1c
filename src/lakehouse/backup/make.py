"""Make a backup: hold a moment, dump it, copy the objects it names, and write down that it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Protocol, TypeVar

from lakehouse.backup import records
from lakehouse.backup.places import Bucket, Changed, Found, Hashing, Place
from lakehouse.backup.programs import Programs, dump
from lakehouse.backup.records import DUMP, OBJECTS, RECORD, SUMS, Backup, stored_name
from lakehouse.backup.snapshot import Moment, hold, unknown_objects
from lakehouse.errors import LakehouseError
from lakehouse.home.homes import Homes

#: Objects on their way at a time; most of one is waiting.
COPIES = 8
#: How often what changes while it is copied is looked at again.
_TRIES = 10
LANDING, PAGES = "landing/", "data-docs/"

T = TypeVar("T")
R = TypeVar("R")


class Reporter(Protocol):
    """Who shows a person what is going on."""

    def step(self, name: str) -> AbstractContextManager[Callable[[str], None]]:
        """A step that takes time; the callable changes the text beside it."""


@dataclass(frozen=True)
class Stack:
    """What is backed up: the homes, and where the gates' pages are, if anywhere."""

    homes: Homes
    pages: Place | None = None

    @property
    def store(self) -> Bucket:
        """The lake's bucket."""
        return Bucket(self.homes.bucket, "", self.homes.s3)


def make_backup(stack: Stack, place: Place, programs: Programs, report: Reporter) -> Backup:
    """Back up a lakehouse while it works. What a broken-off attempt has copied is not copied again.

    Returns the backup's record, which is written last.

    Raises:
        LakehouseError: an object of the lake is missing, the place is another lakehouse's or full, pg_dump failed, or
            another backup is at work. No record was written.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    place.make()
    with hold(stack.homes) as moment:
        earlier = records.backups(place)
        known = _known_sums(place, earlier, moment)
        backup_id = records.new_id(now, {one.id for one in earlier})
        with report.step("Postgres") as detail:
            written = dump(
                programs.find("pg_dump", moment.postgres),
                stack.homes.engine.url,
                moment.snapshot,
                place,
                f"{records.BACKUPS}{backup_id}/{DUMP}",
            )
            detail(size(written.bytes))
        pool = _Pool(place, known)
        with report.step("Lake") as detail:
            _add_lake(pool, stack, moment, detail)
        with report.step("Landing zone") as detail:
            pool.add_all_of(stack.store, LANDING, "", detail)
        if stack.pages:
            with report.step("Data Docs") as detail:
                pool.add_all_of(stack.pages, "", PAGES, detail)
        sums = records.write_text(place, f"{records.BACKUPS}{backup_id}/{SUMS}", records.sums_text(pool.sums))
    made = Backup(
        id=backup_id,
        lakehouse=moment.lakehouse,
        made_at=now,
        version=version("lakehouse-lite"),
        postgres=moment.postgres,
        bucket=stack.homes.bucket,
        dump_bytes=written.bytes,
        dump_sha256=written.sha256,
        sums_sha256=sums,
        object_count=len(pool.sums),
        object_bytes=pool.bytes,
        copied_count=pool.copied_count,
        copied_bytes=pool.copied_bytes,
        seconds=round(time.monotonic() - started, 1),
    )
    records.write_text(place, made.path(RECORD), made.model_dump_json(indent=2) + "\n")
    return made


def _known_sums(place: Place, earlier: Iterable[Backup], moment: Moment) -> dict[str, str]:
    """Stored name → SHA-256, of all whole backups of this lakehouse.

    Raises:
        LakehouseError: the backups are another lakehouse's.
    """
    known: dict[str, str] = {}
    for one in earlier:
        if one.lakehouse != moment.lakehouse:
            raise LakehouseError(
                f"{place.name} holds backups of another lakehouse.", "Name a folder or prefix of its own."
            )
        with suppress(LakehouseError):  # a damaged list; what it names is read back
            known |= records.read_sums(place, one)
    return known


def _add_lake(pool: _Pool, stack: Stack, moment: Moment, detail: Callable[[str], None]) -> None:
    try:
        pool.add(stack.store, _lake_objects(stack, moment), detail)
    except Changed as error:
        raise LakehouseError(
            f"{error} has gone from the lake, or was written again, while it was being copied.",
            "Nothing of this project does that while a backup is at work. Find out who did, and run this again.",
        ) from error


def _lake_objects(stack: Stack, moment: Moment) -> dict[str, tuple[str, Found]]:
    """Object → where it is stored, and what it is. Masked copies may be made anew under their names; others never.

    Raises:
        LakehouseError: the lake lacks one, or has one that the registry does not know.
    """
    root = f"s3://{stack.homes.bucket}/"
    there = stack.store.list("lake/")
    wanted = {uri.removeprefix(root): kind for uri, kind in moment.uris.items()}
    missing = sorted(wanted.keys() - there.keys())
    if missing:
        raise LakehouseError(
            f"The lake lacks {len(missing)} objects that the ledger names, the first: {missing[0]}.",
            "This lakehouse is damaged already: `lakehouse restore` an earlier backup into a fresh stack.",
        )
    if unknown := unknown_objects(stack.homes, moment):
        raise LakehouseError(
            f"Iceberg tables name {len(unknown)} objects that the ledger does not know, the first: {unknown[0]}.",
            "Somebody else writes to these tables. Only what lakehouse publishes can be backed up.",
        )
    return {
        name: (stored_name(name, there[name].token if kind == "masked" else ""), there[name])
        for name, kind in wanted.items()
    }


@dataclass
class _Pool:
    """The objects of a backup, shared with others; ``known``: stored name → SHA-256 of those of whole backups."""

    place: Place
    known: Mapping[str, str]
    sums: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    copied_count: int = 0
    copied_bytes: int = 0
    _there: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._there = self.place.list(OBJECTS)

    def add(
        self, source: Place, objects: Mapping[str, tuple[str, Found]], detail: Callable[[str], None]
    ) -> None:
        """Add objects: name → where it is stored, and what it is. Those that are there are not copied again.

        Raises:
            Changed: one is not what was listed any more.
        """
        total, done = sum(found.bytes for _, found in objects.values()), 0

        def one(item: tuple[str, tuple[str, Found]]) -> tuple[str, str, Found, bool]:
            name, (stored, found) = item
            same = (have := self._there.get(stored)) is not None and have.bytes == found.bytes
            if same and stored in self.known:
                return stored, self.known[stored], found, False
            # What an attempt has left behind that was broken off is whole; only nobody has noted its checksum.
            with closing(self.place.open(stored) if same else source.open(name, found.token)) as stream:
                reading = Hashing(stream)
                if same:
                    reading.to_end()
                else:
                    self.place.write(stored, reading)
            if reading.bytes != found.bytes:
                raise Changed(name)
            return stored, reading.written.sha256, found, not same

        for stored, sha256, found, is_copied in in_parallel(one, objects.items()):
            self.sums[stored] = sha256
            self._there[stored] = found
            self.copied_count += is_copied
            self.copied_bytes += found.bytes if is_copied else 0
            done += found.bytes
            detail(f"{size(done)} of {size(total)}")
        self.bytes += total
        detail(f"{len(objects):,} objects, {size(total)}")

    def add_all_of(self, source: Place, under: str, prefix: str, detail: Callable[[str], None]) -> None:
        """Add everything below ``under``, as it was at one moment: until nothing has changed while it was copied.

        Raises:
            LakehouseError: it changed all the time.
        """
        for _ in range(_TRIES):
            found = source.list(under)
            objects = {name: (stored_name(prefix + name, it.token), it) for name, it in found.items()}
            before = (dict(self.sums), self.bytes)
            try:
                self.add(source, objects, detail)
            except Changed:
                pass
            else:
                if source.list(under) == found:
                    return
            self.sums, self.bytes = before
        raise LakehouseError(
            f"{source.name}/{under} changed all the time while it was copied.",
            "Run the same command again when nothing is being landed; what was copied stays.",
        )


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of work done several at a time, as they come. After a failure or Ctrl-C nothing more is begun."""
    with ThreadPoolExecutor(COPIES) as workers:
        try:
            waiting: set[Future[R]] = set()
            for item in items:
                waiting.add(workers.submit(work, item))
                if len(waiting) > 4 * COPIES:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            yield from (one.result() for one in as_completed(waiting))
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def size(count: int) -> str:
    """Bytes for people: ``12.3 MB``."""
    return f"{count / 1e6:,.1f} MB"
