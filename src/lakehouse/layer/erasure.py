"""Erases a person: out of the landing zone, every layer, both homes, their past, quarantine and pages.

First the person is put on the list (:mod:`lakehouse.layer.erased`), so that nothing new comes in. Then what is stored
is made again, by the layers' own steps: bronze is rewritten without the personal values, and silver and gold follow as
after any delivery, with their gates. At last the past goes, and a search proves that the id is nowhere.

Every step looks for what is left to do, so the same call goes on where a killed one has stopped.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from lakehouse.contract.erasure import followed, handed_on
from lakehouse.contract.model import LAYERS, Layer
from lakehouse.engine.keyedhash import KEY_BYTES, MATCH_DIGITS
from lakehouse.engine.session import open_session
from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.landing.manifest import list_partitions, read_manifest
from lakehouse.landing.take_out import LandingZone, TakenOut
from lakehouse.layer import erasure_steps as steps
from lakehouse.layer.erased import (
    Erased,
    note,
    note_leads,
    of_erased,
    read_erased,
    still_there,
    stored_match,
    stored_value,
    warehouse_value,
)
from lakehouse.layer.erasure_steps import Request
from lakehouse.layer.forget import forget_in_ledger, forget_in_pages, forget_refused, other_names
from lakehouse.layer.turns import ERASURE, at_work

__all__ = ["Outcome", "Request", "erase", "look"]

#: A shorter id cannot be told from other text when all that is stored is searched for it.
SHORTEST_ID = 8


@dataclass(frozen=True)
class Outcome:
    """What was touched (or would be): place → rows, files or objects. ``warnings``: what could not be reached."""

    erasure_id: int | None
    touched: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether nothing of the person is there."""
        return not any(self.touched.values())


def look(request: Request) -> Outcome:
    """Count what an erasure would touch. Changes nothing.

    Raises:
        LakehouseError: the id cannot be searched for, or the source knows no persons.
    """
    _check(request)
    with request.homes.engine.connect() as conn, request.step("look") as tell:
        try:
            erased, _ = _register(request, conn)
            touched = _stored_rows(request, conn, erased)
            with open_session(request.homes) as session:
                tell("landing")
                landed = LandingZone(request.homes, request.source).take_out(
                    steps.replacing(request, session, erased), None, tell
                )
        finally:
            conn.rollback()
    return Outcome(None, touched | _landed(landed))


def erase(request: Request) -> Outcome:
    """Erase the person. Safe to repeat, and to go on with after it was killed.

    Raises:
        LakehouseError: a run of the source is under way; nothing is known of the person; or something of the person
            is still there at the end, and where.
        GateFailed: a layer could not be published without the person; what was served is still served.
    """
    _check(request)
    with warehouse.holding(request.homes.engine, request.source, ERASURE) as alone:
        _refuse_company(request, alone)
        with request.homes.engine.begin() as conn, request.step("put on the list"):
            erased, is_new = _register(request, conn)
            erasure, reruns = _begin(request, conn, erased, is_new)
        with request.step("ledger and pages"):
            _forget(request, erasure)
        with open_session(request.homes) as session, request.step("landing zone") as tell:
            zone = LandingZone(request.landing, request.source)
            _count(
                request,
                erasure,
                _landed(zone.take_out(steps.replacing(request, session, erased), steps.mover(request), tell)),
            )
        with request.step("bronze") as tell:
            steps.rewrite_bronze(request, erased, reruns.get("bronze", ()), tell)
        for layer in LAYERS[1:]:
            with request.step(layer) as tell:
                steps.follow(request, layer, reruns.get(layer, ()), tell)
        with request.step("past states") as tell:
            _count(request, erasure, steps.drop_past(request, tell))
        with request.step("search") as tell:
            warnings = steps.prove(request, tell)
        return replace(_end(request, erasure), warnings=warnings)


def _check(request: Request) -> None:
    _ = request.subject
    if len(request.person) < SHORTEST_ID or request.person != request.person.strip():
        raise LakehouseError(
            f"The id is shorter than {SHORTEST_ID} characters, or has white space around it.",
            "Give it as it is in the files.",
        )


def _refuse_company(request: Request, alone: bool) -> None:
    if not alone:
        raise LakehouseError(
            f"A person is being erased from {request.source} already.",
            "Wait for its end, and run this again.",
        )
    with request.homes.engine.begin() as conn:
        busy = [(la, run, key) for la, run, key in at_work(conn, request.source) if request.is_alive(la, run)]
    if busy:
        layer, run, key = busy[0]
        raise LakehouseError(
            f"{request.source}_{layer} is at work for {key} ({run}); nothing was changed.",
            "Wait for its end (`lakehouse status`), and run this again: while it does, no other run begins.",
        )


def _register(request: Request, conn: Connection) -> tuple[Erased, bool]:
    """Put the person, and what leads there, on the list; whether it was not there before."""
    conn.execute(
        text("insert into ops.erasure_key (secret_key) values (:k) on conflict do nothing"),
        {"k": secrets.token_bytes(KEY_BYTES)},
    )
    key = bytes(conn.execute(text("select secret_key from ops.erasure_key")).scalar_one())
    link = followed(request.subject)
    if link is None:
        raise AssertionError("A subject is followed by itself.")
    is_new = note(conn, request.source, link, [_hashed(request.person, key)[:MATCH_DIGITS]]) > 0
    for contract in request.tables:
        for lead in handed_on(contract, request.project.contracts):
            column = contract.column(lead.column)
            warehouse.run_script(
                conn,
                f"insert into ops.erased select distinct '{request.source}', '{lead.table}', '{lead.column}', "
                f"{stored_match(column, key)} from raw.{contract.table} as r "
                f"where {stored_value(column)} is not null and {of_erased(contract, key)} on conflict do nothing",
            )
    erased = read_erased(conn, request.source)
    if erased is None:
        raise AssertionError("The list has the person.")
    for day in _not_in_bronze(request, conn):
        note_leads(request.homes, conn, request.project, erased, day)
    return erased, is_new


def _hashed(person: str, key: bytes) -> str:
    return hmac.new(key, person.encode(), hashlib.sha256).hexdigest()


def _not_in_bronze(request: Request, conn: Connection) -> list[str]:
    """The deliveries with a file that bronze does not serve."""
    client, bucket = request.homes.s3_client(), request.homes.bucket
    served = {
        (key, sha256)
        for key, sha256 in conn.execute(
            text(
                "select coalesce(landing_key, source_key), coalesce(landing_hash, source_hash) from ops.batch "
                "where source = :s and bronze_publish_id is not null and retired_at is null"
            ),
            {"s": request.source},
        )
    }
    days = []
    for day in list_partitions(client, bucket, request.source):
        manifest = read_manifest(client, bucket, request.source, day)
        if manifest and any((f.key, f.sha256) not in served for f in manifest.files if f.bytes):
            days.append(day)
    return days


def _stored_rows(request: Request, conn: Connection, erased: Erased) -> dict[str, int]:
    """Table → rows of the person that have something to lose; RAW, as landed, and gold where it names the person."""
    found = {}
    for c in request.erased_tables:
        query = f"select count(*) from raw.{c.table} as r where {still_there(c, erased.key)}"
        found[f"raw.{c.table}"] = int(warehouse_value(conn, query))
    subject = request.subject.person_column
    for schema, tables in (("ods", request.project.silver), ("gold", request.project.gold)):
        for table in tables.values():
            if subject and table.source == request.source and subject.name in {c.name for c in table.columns}:
                rows = text(f"select count(*) from {schema}.{table.table} where {subject.name} = :p")
                found[f"{schema}.{table.table}"] = int(conn.execute(rows, {"p": request.person}).scalar_one())
    return found


def _landed(taken: TakenOut) -> dict[str, int]:
    return {"landing files": taken.files, "landing records": taken.records}


def _begin(
    request: Request, conn: Connection, erased: Erased, is_new: bool
) -> tuple[int, Mapping[Layer, Sequence[str]]]:
    """Write down that it has begun, or find where it stopped; the partitions of each layer to run again.

    Raises:
        LakehouseError: nothing leads to this person.
    """
    touched = _stored_rows(request, conn, erased)
    going_on = conn.execute(
        text("select erasure_id from ops.erasure where source = :s and finished_at is null"),
        {"s": request.source},
    ).scalar()
    if is_new and not any(touched.values()) and not _is_landed(request, erased):
        raise LakehouseError(
            f"Nothing in {request.source} is about that person; nothing was changed.",
            "Look whether the id is complete, and whether the person was erased before.",
        )
    open_runs: dict[Layer, list[str]] = {}
    for layer, day in conn.execute(
        text(
            "select layer, partition_key::text from ops.run where source = :s "
            "and status in ('planned', 'audited', 'blocked', 'overtaken') order by 1, 2"
        ),
        {"s": request.source},
    ):
        open_runs.setdefault(layer, []).append(day)
    if going_on is None:
        going_on = conn.execute(
            text("insert into ops.erasure (source, reference) values (:s, :r) returning erasure_id"),
            {"s": request.source, "r": request.reference},
        ).scalar_one()
    known = conn.execute(
        text("select reruns from ops.erasure where erasure_id = :e"), {"e": going_on}
    ).scalar_one()
    reruns = {la: sorted({*known.get(la, ()), *open_runs.get(la, ())}) for la in LAYERS}
    conn.execute(
        text("update ops.erasure set reruns = cast(:r as jsonb) where erasure_id = :e"),
        {"e": going_on, "r": json.dumps(reruns)},
    )
    _add(conn, going_on, {place: n for place, n in touched.items() if place.startswith("raw.")})
    return going_on, reruns


def _is_landed(request: Request, erased: Erased) -> bool:
    with open_session(request.homes) as session:
        zone = LandingZone(request.homes, request.source)
        return zone.take_out(steps.replacing(request, session, erased), None).records > 0


def _count(request: Request, erasure: int, touched: Mapping[str, int]) -> None:
    with request.homes.engine.begin() as conn:
        _add(conn, erasure, touched)


def _add(conn: Connection, erasure: int, touched: Mapping[str, int]) -> None:
    """Add to what the erasure has touched; a killed try may have counted already what another one finds again."""
    known = conn.execute(
        text("select touched from ops.erasure where erasure_id = :e"), {"e": erasure}
    ).scalar_one()
    total = known | {place: max(known.get(place, 0), n) for place, n in touched.items()}
    conn.execute(
        text("update ops.erasure set touched = cast(:t as jsonb) where erasure_id = :e"),
        {"e": erasure, "t": json.dumps(total)},
    )


def _forget(request: Request, erasure: int) -> None:
    """Take the id out of what gates have said, while gold still tells by which other names it knows the person."""
    with request.homes.engine.begin() as conn:
        key = bytes(conn.execute(text("select secret_key from ops.erasure_key")).scalar_one())
        names = {request.person: _hashed(request.person, key)[MATCH_DIGITS:]}
        names |= other_names(conn, request.project, request.subject, request.person)
        touched = forget_refused(conn, request.erased_tables, key) | forget_in_ledger(conn, names)
        touched["pages"] = sum(forget_in_pages(pages, names) for pages in request.pages)
        _add(conn, erasure, touched)


def _end(request: Request, erasure: int) -> Outcome:
    with request.homes.engine.begin() as conn:
        written = conn.execute(
            text(
                "select case layer when 'silver' then 'ods' else layer end || '.' || table_name, "
                "sum(inserted_rows + updated_rows + deleted_rows)::bigint from ops.publish "
                "where source = :s and layer <> 'bronze' and status = 'published' and published_at >= "
                "(select started_at from ops.erasure where erasure_id = :e) group by 1 order by 1"
            ),
            {"s": request.source, "e": erasure},
        )
        _add(conn, erasure, {table: n for table, n in written if n})
        conn.execute(
            text("update ops.erasure set finished_at = clock_timestamp() where erasure_id = :e"),
            {"e": erasure},
        )
        touched = conn.execute(
            text("select touched from ops.erasure where erasure_id = :e"), {"e": erasure}
        ).scalar_one()
    return Outcome(erasure, touched)
