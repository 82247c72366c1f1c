"""Look after backups: read them back, remove old ones and what attempts that broke off have left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from lakehouse.backup import records
from lakehouse.backup.make import Reporter, in_parallel, size
from lakehouse.backup.places import Changed, Hashing, Place
from lakehouse.backup.records import BACKUPS, DUMP, OBJECTS, RECORD, SUMS, Backup, read_sums
from lakehouse.backup.snapshot import alone
from lakehouse.errors import LakehouseError
from lakehouse.home.homes import Homes

#: Named in a message.
_NAMED = 5


def verify(place: Place, backup: Backup, report: Reporter) -> None:
    """Read everything of a backup back and compare its checksums.

    Raises:
        LakehouseError: something is missing or not what was written; names it.
    """
    sums = {backup.path(DUMP): backup.dump_sha256, **read_sums(place, backup)}
    with report.step(f"Reading {backup.id} back") as detail:
        done = 0

        def one(item: tuple[str, str]) -> tuple[int, str]:
            name, sha256 = item
            try:
                with closing(place.open(name)) as stream:
                    found = Hashing(stream).to_end()
            except Changed:
                return 0, f"{name} is missing"
            return found.bytes, "" if found.sha256 == sha256 else f"{name} is not what was written"

        wrong = []
        for count, problem in in_parallel(one, sums.items()):
            done += count
            detail(size(done))
            wrong += [problem] if problem else []
        refuse_damaged(backup, wrong)


def refuse_damaged(backup: Backup, wrong: list[str]) -> None:
    """Raise when something is wrong with a backup.

    Raises:
        LakehouseError: names the first few.
    """
    if wrong:
        more = f"\n  and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise LakehouseError(
            f"The backup {backup.id} is damaged:\n  " + "\n  ".join(sorted(wrong)[:_NAMED]) + more,
            "Use an older one (`lakehouse backup PLACE --list`). When the lakehouse still stands: delete these objects "
            "and make a new backup.",
        )


def tidy(homes: Homes, place: Place, keep: int | None, detail: Callable[[str], None]) -> list[str]:
    """Remove all but the newest ``keep`` backups, and then what no backup names. Returns the ids of those removed.

    Raises:
        LakehouseError: the list of a backup that stays is damaged (then nothing was removed), or a backup is at work.
    """
    with alone(homes):
        found = records.backups(place)
        old, stay = (found[:-keep], found[-keep:]) if keep else ([], found)
        named = {name for one in stay for name in read_sums(place, one)}
        # Without its record it is none, whatever happens next.
        place.delete([one.path(RECORD) for one in old])
        own = {one.path(name) for one in stay for name in (RECORD, SUMS, DUMP)}
        place.delete(sorted(place.list(BACKUPS).keys() - own))
        pool = place.list(OBJECTS)
        unused = sorted(pool.keys() - named)
        place.delete(unused)
        detail(f"{len(unused):,} objects, {size(sum(pool[name].bytes for name in unused))}")
    return [one.id for one in old]
