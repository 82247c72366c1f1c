"""What deliveries say of a key over time: states that begin with one delivery and end with another.

Relations of the session: ``conformed`` (see :mod:`lakehouse.compile.conform`), of all deliveries since some date for
the keys that are worked out; ``initial``, the state of these keys just before it; ``fulls``, the dates of the
deliveries that are complete. Made here: ``versions``. It depends on what was delivered for which date, and not on when
or together with what it was taken up.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse.engine.session import Session

#: Where a state was said.
LINEAGE = ("_batch_id", "_source_line")


def versions(session: Session, *, columns: Sequence[str], key: Sequence[str]) -> None:
    """Make ``versions``: ``columns`` (``key`` among them), lineage, ``valid_from``, ``valid_to``, ``is_deleted``.

    A state lasts until a delivery says something else of the key, or until a complete one lacks it. Rows that were
    refused say nothing, but they show that the key is not gone. What comes again as it was opens no new state, and
    nobody misses a key of which nothing has been said.
    """
    names = ", ".join([*columns, *LINEAGE])
    keys = ", ".join(key)
    given = " and ".join(f"{k} is not null" for k in key)
    session.view(
        "seen",
        f"select distinct {keys}, _delivery as _seen_on from conformed where {given} "
        f"union select {keys}, valid_from as _seen_on from initial where not is_deleted",
    )
    session.view(
        "gone",
        f"with lasting as (select {keys}, _seen_on, lead(_seen_on) over (partition by {keys} order by _seen_on) as "
        "_seen_again_on from seen), missed as (select dates._seen_on, min(fulls.delivery) as _gone_on from "
        "(select distinct _seen_on from seen) as dates inner join fulls on fulls.delivery > dates._seen_on group by "
        f"dates._seen_on) select {keys}, missed._gone_on from lasting inner join missed using (_seen_on) "
        "where _seen_again_on is null or missed._gone_on < _seen_again_on",
    )
    nothing = ", ".join(c if c in key else f"null as {c}" for c in (*columns, *LINEAGE))
    session.view(
        "said",
        f"select {names}, _delivery as valid_from, false as is_deleted, false as _is_initial from conformed "
        "where _reasons = '' and _rank = 1 "
        f"union all select {names}, valid_from, is_deleted, true from initial "
        f"union all select {nothing}, _gone_on as valid_from, true as is_deleted, false from gone",
    )
    state = f"row({', '.join(['is_deleted', *(c for c in columns if c not in key)])})"
    session.table(
        "versions",
        f"with compared as (select *, {state} as _said, lag({state}) over earlier as _before, "
        "row_number() over earlier as _number from said "
        f"window earlier as (partition by {keys} order by valid_from)), "
        "changes as (select * from compared where _number > 1 and _said is distinct from _before "
        "or _number = 1 and (_is_initial or not is_deleted)) "
        f"select {names}, valid_from, lead(valid_from) over (partition by {keys} order by valid_from) as valid_to, "
        "is_deleted from changes",
    )
