"""What the ledger says to somebody who asks for a partition that is published already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from lakehouse.contract.model import Layer

#: Of the newest run of the partition that has published tables.
_BY_RUN = """
select max(p.published_at), bool_or(p.verdict = 'warned') from ops.publish as p
where p.status = 'published' and p.run_id = (
    select max(r.run_id) from ops.run as r
    where
        r.source = :s and r.layer = :l and r.partition_key = :k and r.status = 'published'
        and exists (select 1 from ops.publish as t where t.run_id = r.run_id)
)
"""
#: A run of silver takes up what was missed before its own partition, too.
_BY_BATCH = """
select max(p.published_at), bool_or(p.verdict = 'warned') from ops.batch as b
inner join ops.publish as p on p.publish_id = b.silver_publish_id
where b.source = :s and b.partition_key = :k and b.superseded_by is null and :l = 'silver'
"""
#: A run of gold takes up all that silver has published, whatever the partition.
_BY_LAYER = """
select max(p.published_at), bool_or(p.verdict = 'warned') from ops.publish as p
where :l = 'gold' and p.status = 'published' and p.run_id = (
    select max(r.run_id) from ops.run as r
    where
        r.source = :s and r.layer = :l and r.status = 'published'
        and exists (select 1 from ops.publish as t where t.run_id = r.run_id)
)
and exists (
    select 1 from ops.batch as b
    where b.source = :s and b.partition_key = :k and b.silver_publish_id is not null
)
"""


@dataclass(frozen=True)
class Published:
    """When a layer last published a partition (UTC), and what the gate said: ``passed`` or ``warned``."""

    published_at: datetime
    verdict: str

    @property
    def note(self) -> str:
        """What to tell somebody who has asked for nothing else: there is nothing to do."""
        return f"nothing to do: published {self.published_at:%Y-%m-%d %H:%M} UTC, verdict {self.verdict}"


def last_published(conn: Connection, source: str, layer: Layer, partition_key: str) -> Published | None:
    """When and how a layer has published a partition; None when it never has."""
    for query in (_BY_RUN, _BY_BATCH, _BY_LAYER):
        published_at, is_warned = conn.execute(
            text(query), {"s": source, "l": layer, "k": partition_key}
        ).one()
        if published_at:
            return Published(published_at.astimezone(UTC), "warned" if is_warned else "passed")
    return None
