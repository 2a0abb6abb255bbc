"""Changes of rights reach hot state by themselves, on a real PostgreSQL and a real Valkey."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from sqlalchemy import Engine, delete, func, select, text, update

from domain.access import TenantRights
from domain.actor import Actor
from storage import hot_state
from storage.database import session_scope
from storage.hot_state import Overtaken, Patch
from storage.repositories.keys import ApiKeys, sha256_of
from storage.repositories.rights import tenant_rights
from storage.rights_flow import RightsFlow, publish_changes, rebuild_if_lost
from storage.rights_publishing import Publisher, publish_tenant
from storage.sealed import Seal
from storage.services.webhook_sources import SECRET_COLUMN, WebhookSources
from storage.tables.catalog import OfferingRow, UnitRow
from storage.tables.customers import AccessorRow, ApiKeyRow, CustomerRow, SubscriptionRow
from storage.tables.keys import RightsOutboxRow
from storage.tables.tenants import TenantRow
from storage.tenancy import tenant_tx
from storage.webhook_calls import SourceRecord, source_key
from tests.harness import wait_until
from tests.storage.worlds import ACME, acme, applied


@pytest.fixture
def secrets(engine: Engine, redis: Redis) -> dict[str, str]:
    """Acme applied and published; its keys' secrets by name."""
    with session_scope(engine) as session:
        _, issued = applied(session, ACME)
    publish(engine, redis)
    return {key.name: key.secret for key in issued}


def publish(engine: Engine, redis: Redis) -> None:
    while publish_changes(engine, redis):
        pass


def waiting(engine: Engine) -> list[tuple[str, str | None]]:
    with session_scope(engine) as session:
        query = select(RightsOutboxRow.kind, RightsOutboxRow.target).order_by(RightsOutboxRow.id)
        return [(kind, target) for kind, target in session.execute(query)]


def execute(engine: Engine, *statements: object) -> None:
    with session_scope(engine) as session:
        for statement in statements:
            session.execute(statement)  # type: ignore[call-overload]


def published(redis: Redis, expected: TenantRights) -> bool:
    """Whether hot state holds exactly these rights."""
    tenant = expected.tenant_id
    customers = set(hot_state.known_customers(redis, tenant))
    return (
        customers == {each.customer_id for each in expected.customers}
        and all(hot_state.read_rights(redis, tenant, each.customer_id) == each for each in expected.customers)
        and {unit.key for unit in hot_state.read_units(redis, tenant).values()}
        == {u.key for u in expected.units}
        and set(hot_state.known_keys(redis, tenant)) == expected.keys.keys()
        and all(hot_state.read_key(redis, sha) == record for sha, record in expected.keys.items())
    )


def rights(engine: Engine) -> TenantRights:
    with session_scope(engine) as session:
        return tenant_rights(session, "acme", datetime.now(UTC))


def test_what_is_applied_is_published_without_being_asked_for(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    assert published(redis, rights(engine)) and waiting(engine) == []
    assert hot_state.read_key(redis, sha256_of(secrets["ann"])).customer_id == "ann"  # type: ignore[union-attr]


def test_running_publishers_bring_each_change_to_hot_state(
    database_url: str, redis_url: str, engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    flow = RightsFlow(database_url, redis_url)
    flow.start()
    try:
        new = {"units": [{"key": "minutes", "aggregation": "SUM"}], "customers": [{"id": "cleo"}]}
        with session_scope(engine) as session:
            applied(session, {"tenant": ACME["tenant"], **new})
        wait_until(lambda: "minutes" in hot_state.read_units(redis, "acme"), what="the new unit")
        wait_until(lambda: hot_state.read_rights(redis, "acme", "cleo"), what="the new customer")
        execute(engine, update(ApiKeyRow).where(ApiKeyRow.name == "ann").values(status="REVOKED"))
        wait_until(
            lambda: not hot_state.read_key(redis, sha256_of(secrets["ann"])), what="the key to be gone"
        )
    finally:
        flow.stop()


def test_what_was_committed_and_not_published_is_published_by_the_next(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    execute(engine, update(CustomerRow).where(CustomerRow.id == "ann").values(archived_at=func.now()))
    held = engine.connect()
    held.execute(text("SELECT 1 FROM rights_outbox FOR UPDATE"))
    assert publish_changes(engine, redis) == 0, "another publisher holds the row"
    held.close()  # it died
    assert publish_changes(engine, redis) == 1
    assert hot_state.read_rights(redis, "acme", "ann") is None


@pytest.mark.parametrize(
    ("statement", "outbox"),
    [
        (update(UnitRow).where(UnitRow.id == "calls").values(name="Calls"), ("UNITS", None)),
        (update(OfferingRow).values(name="Pro 2"), ("OFFERING", "pro")),
        (update(CustomerRow).where(CustomerRow.id == "bob").values(name="Bob"), ("CUSTOMER", "bob")),
        (
            update(SubscriptionRow).where(SubscriptionRow.id == "sub_ann").values(end_date=None),
            ("CUSTOMER", "ann"),
        ),
        (update(TenantRow).values(name="Acme 2"), ("TENANT", None)),
    ],
)
def test_a_change_asks_for_what_it_touches_and_no_more(
    engine: Engine, secrets: dict[str, str], statement: object, outbox: tuple[str, str | None]
) -> None:
    execute(engine, statement)
    assert waiting(engine) == [outbox]


def test_a_statement_that_changes_thousands_asks_for_the_whole_tenant(
    engine: Engine, secrets: dict[str, str]
) -> None:
    many = text(
        "INSERT INTO customers (tenant_id, id, name, plan, currency, time_zone) "
        "SELECT 'acme', 'c' || n, 'C', 'STANDARD', 'USD', 'UTC' FROM generate_series(1, 2001) n"
    )
    execute(engine, many)
    assert waiting(engine) == [("TENANT", None)]


def test_a_rolled_back_change_is_not_published(engine: Engine, secrets: dict[str, str]) -> None:
    with pytest.raises(RuntimeError), session_scope(engine) as session:
        session.execute(update(UnitRow).values(name="x" + UnitRow.name))
        raise RuntimeError
    assert waiting(engine) == []


def test_what_is_archived_is_gone_from_hot_state(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    execute(
        engine,
        update(UnitRow).where(UnitRow.id == "bytes").values(archived_at=func.now(), status="ARCHIVED"),
        update(CustomerRow).where(CustomerRow.id == "ann").values(archived_at=func.now()),
        update(ApiKeyRow).where(ApiKeyRow.name == "ann").values(status="REVOKED", revoked_at=func.now()),
    )
    publish(engine, redis)
    assert set(hot_state.read_units(redis, "acme")) == {"calls", "api calls"}
    assert set(hot_state.known_customers(redis, "acme")) == {"bob"}
    assert hot_state.read_key(redis, sha256_of(secrets["ann"])) is None
    execute(engine, update(TenantRow).values(archived_at=func.now()))
    publish(engine, redis)
    assert (
        hot_state.read_units(redis, "acme") == {}
        and hot_state.read_key(redis, sha256_of(secrets["main"])) is None
    )


def test_a_suspended_app_has_no_keys_until_it_is_back(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    with session_scope(engine) as session:
        session.add(AccessorRow(tenant_id="acme", id="app", type="APP", customer_id="ann", name="App"))
        session.flush()
        key = ApiKeys(session, "acme").all()["ann"]
        issued = ApiKeys(session, "acme").issue(
            type(key)("app key", "ann", accessor="app", accessor_type="APP", subscriptions=("sub_ann",))
        )
    publish(engine, redis)
    for status in ("ACTIVE", "SUSPENDED", "ACTIVE"):
        execute(engine, update(AccessorRow).values(status=status))
        publish(engine, redis)
        assert (hot_state.read_key(redis, sha256_of(issued.secret)) is not None) is (status == "ACTIVE")
        assert redis.exists(hot_state.blocked_client_key(issued.id)) == (status != "ACTIVE")


def test_a_rotated_key_carries_the_instant_it_stops(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    execute(
        engine,
        update(ApiKeyRow)
        .where(ApiKeyRow.name == "ann")
        .values(status="PENDING_REVOCATION", revoke_at=text("'2100-01-01T00:00:00Z'")),
    )
    publish(engine, redis)
    record = hot_state.read_key(redis, sha256_of(secrets["ann"]))
    assert record is not None and record.until == 4_102_444_800_000_000


def test_nothing_is_written_where_nothing_changed(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    before = hot_state.read_version(redis, "acme")
    execute(
        engine, update(CustomerRow).values(email="new@example.com"), update(UnitRow).values(unit_label="u")
    )
    publish(engine, redis)
    assert hot_state.read_version(redis, "acme") == before


def test_older_rights_never_overwrite_newer_ones(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    since = hot_state.read_version(redis, "acme")
    assert since is not None
    old = rights(engine)
    execute(engine, delete(ApiKeyRow).where(ApiKeyRow.name == "ann"))
    publish(engine, redis)
    late = Patch(customers={each.customer_id: each for each in old.customers}, keys=old.keys)
    with pytest.raises(Overtaken):
        hot_state.patch(redis, "acme", late, since=since)
    with pytest.raises(Overtaken):
        hot_state.publish(redis, old, since=since)
    assert published(redis, rights(engine))


def test_many_publishers_and_snapshots_at_once_end_with_what_the_database_says(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    def change(number: int) -> None:
        end = None if number % 3 else "2026-01-01T00:00:00Z"
        live = "ACTIVE" if number % 2 else "SUSPENDED"
        execute(
            engine,
            update(SubscriptionRow).where(SubscriptionRow.id == "sub_ann").values(ends_at=end),
            update(ApiKeyRow).where(ApiKeyRow.name == "ann").values(status=live),
        )
        if number % 5 == 0:
            publish_tenant(engine, redis, "acme", as_of=datetime.now(UTC))
        publish_changes(engine, redis)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(40)))
    publish(engine, redis)
    assert published(redis, rights(engine))


def test_a_lost_hot_state_is_made_anew(engine: Engine, redis: Redis, secrets: dict[str, str]) -> None:
    redis.flushall()
    assert rebuild_if_lost(engine, redis) and not rebuild_if_lost(engine, redis)
    assert published(redis, rights(engine))


def test_a_change_after_hot_state_was_lost_publishes_the_whole_tenant(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    redis.flushall()
    execute(engine, update(CustomerRow).where(CustomerRow.id == "bob").values(name="Bob"))
    publish(engine, redis)
    assert published(redis, rights(engine))


def test_a_snapshot_removes_what_the_database_does_not_know(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    known = rights(engine)
    ghost = type(known.customers[0])("ghost")
    record = next(iter(known.keys.values()))
    stale = Patch(customers={"ghost": ghost}, keys={"0" * 64: record})
    hot_state.patch(redis, "acme", stale, since=hot_state.read_version(redis, "acme") or 0)
    publish_tenant(engine, redis, "acme", as_of=datetime.now(UTC))
    assert published(redis, rights(engine))


def test_a_tenant_that_cannot_be_published_holds_up_nobody_and_is_tried_again(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    with session_scope(engine) as session:
        applied(session, acme(tenant={"id": "broken", "name": "Broken"}, keys=[]))
    execute(engine, text("UPDATE offerings SET entitlements = '[{\"no\": 1}]' WHERE tenant_id = 'broken'"))
    execute(engine, update(CustomerRow).where(CustomerRow.tenant_id == "acme").values(name="Somebody"))
    publish(engine, redis)
    assert {kind for kind, _ in waiting(engine)} >= {"OFFERING"}
    assert published(redis, rights(engine))
    execute(
        engine,
        text("UPDATE offerings SET entitlements = '[]' WHERE tenant_id = 'broken'"),
        update(RightsOutboxRow).values(retry_at=None),
    )
    publish(engine, redis)
    assert waiting(engine) == [] and hot_state.read_version(redis, "broken")


def test_a_customer_is_published_in_batches_and_alike(
    engine: Engine, redis: Redis, secrets: dict[str, str]
) -> None:
    Publisher(engine, redis, "acme", datetime.now(UTC)).customers(["ann", "nobody", "bob"] * 400)
    assert published(redis, rights(engine))


def test_webhook_sources_reach_the_edge_sealed_and_leave_it_when_archived(
    engine: Engine, redis: Redis, secrets: dict[str, str], tmp_path: Path
) -> None:
    seal, actor = Seal.of(tmp_path), Actor("op", "OWNER")

    def change(work: Callable[[WebhookSources], object]) -> None:
        with tenant_tx(engine, "acme", actor, at=datetime.now(UTC)) as tx:
            work(WebhookSources(tx, seal))
        publish(engine, redis)

    sent = {
        "name": "S",
        "provider": "stripe",
        "customerIdPath": "$.c",
        "metricKey": "calls",
        "secret": "whsec_1",
    }
    change(lambda sources: sources.create(sent))
    [source_id] = [member.decode() for member in redis.smembers("webhook-sources:{acme}")]
    record = msgspec.json.decode(redis.hget(source_key(source_id), "acme"), type=SourceRecord)
    assert record.source.provider == "STRIPE" and "whsec_1" not in record.secret
    assert seal.open(record.secret, tenant_id="acme", column=SECRET_COLUMN) == "whsec_1"
    redis.flushall()
    assert rebuild_if_lost(engine, redis) and redis.exists(source_key(source_id))
    change(lambda sources: sources.archive(source_id))
    assert not redis.exists(source_key(source_id)) and not redis.exists("webhook-sources:{acme}")


def test_a_plans_rate_limit_is_published_with_the_rights(engine: Engine, redis: Redis) -> None:
    limited = acme()
    limited["ratePlans"][0]["rateLimit"] = {"requests": 100, "windowSeconds": 30, "burst": 5}
    with session_scope(engine) as session:
        applied(session, limited)
    publish(engine, redis)
    held = hot_state.read_rights(redis, "acme", "ann")
    assert held is not None and {each.rate_limit for each in held.subscriptions} == {"100/5/HARD/30s"}
