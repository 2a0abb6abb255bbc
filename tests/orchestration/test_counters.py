"""The edge's counters after the `access_rights` run."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.counters import counter_field
from storage import hot_state
from storage.database import session_scope
from storage.repositories.rights import tenant_rights
from tests.world import World

NOW = datetime.now(UTC)
CATALOG = f"""
tenant: {{id: acme, name: Acme, currency: USD}}
units: [{{key: calls, name: Calls, aggregation: SUM}}]
ratePlans: [{{key: basic, name: Basic, currency: USD, metrics: [{{unit: calls, model: PER_UNIT, rate: 0.01}}]}}]
offerings: [{{code: basic, name: Basic, ratePlan: basic, currency: USD}}]
customers: [{{id: ada, name: Ada}}]
subscriptions: [{{id: sub-ada, customer: ada, offering: basic, startDate: "{NOW:%Y-%m}-01"}}]
"""


def test_a_lost_counter_is_back_with_the_next_run_and_one_that_is_right_stays(world: World) -> None:
    """The world's door counts nothing, as a Redis that was lost."""
    world.apply(CATALOG)
    usage = {"customerId": "ada", "metricName": "calls", "quantity": "1.5", "occurredAt": NOW.isoformat()}
    received = NOW.replace(tzinfo=None).isoformat()
    world.send("acme", [usage | {"idempotencyKey": key} for key in "abc"], received=received)
    world.ingest()
    world.send("acme", [usage | {"idempotencyKey": key} for key in "cd"], received=received)
    with session_scope(world.database_url) as session:
        [customer] = tenant_rights(session, "acme", NOW).customers
    now = NOW.timestamp() * 1_000_000
    [start] = [start for start, end in customer.subscriptions[0].periods if start <= now < end]
    for _ in range(2):
        run = world.run("access_rights")
        counted = hot_state.read_counters(world.redis, "acme", "ada")
        assert counted == {counter_field("calls", start): 6_000_000}, "the lake's three and one in the log"
    [event] = run.get_asset_materialization_events()
    assert event.materialization.metadata["counters_adrift"].value == 0
