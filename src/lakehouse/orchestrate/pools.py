"""The Airflow pools that the DAGs need.

Whoever runs Airflow creates them: a task whose pool does not exist waits for ever.
"""

from __future__ import annotations

PLAN_POOL = "lakehouse_plan"
STAGE_POOL = "lakehouse_stage"
GATE_POOL = "lakehouse_gate"
PUBLISH_POOL = "lakehouse_publish"
MAINTENANCE_POOL = "lakehouse_maintenance"

#: Name → (slots, description).
POOLS: dict[str, tuple[int, str]] = {
    PLAN_POOL: (1, "Plans write to the ledger under one lock; one at a time, of all runs."),
    STAGE_POOL: (4, "Tables staged at once, of all runs; bounds memory and the load on both homes."),
    GATE_POOL: (1, "Audits at once, of all runs; each keeps a core busy."),
    PUBLISH_POOL: (1, "Publishes, of all runs; each is one COMMIT under one lock."),
    MAINTENANCE_POOL: (1, "Steps of maintenance; one at a time, so that loads have the machine."),
}
