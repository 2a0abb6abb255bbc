"""Phases are history: the database keeps them whole, and the schedule adds what is due."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from storage.database import MIGRATIONS, make_engine, migrate, session_scope
from storage.repositories.subscriptions import Subscriptions
from storage.services.subscription_upkeep import keep_up
from storage.tables.keys import ApiKeyRow, KeySubscriptionRow
from storage.tables.subscriptions import SubscriptionRow
from tests.harness import Databases
from tests.storage.worlds import ACME, acme, applied

ADD = (
    "INSERT INTO subscription_phases (tenant_id, subscription_id, number, state, offering_id, plan_id, plan_version, reason, "
    "actor, starts_at) VALUES ('acme', 'sub_ann', {number}, '{state}', 'pro', 'pro', 1, 'x', 'x', '{at}')"
)


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE subscription_phases SET reason = 'x'",
        "DELETE FROM subscription_phases",
        "TRUNCATE subscription_phases",
        ADD.format(number=3, state="PAUSED", at="2024-01-01T00:00Z"),
        ADD.format(number=2, state="PAUSED", at="2023-10-01T00:00Z"),
    ],
)
def test_the_database_refuses_to_rewrite_or_to_leave_gaps_in_history(engine: Engine, act: str) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
    with pytest.raises(DBAPIError), session_scope(engine) as session:
        session.execute(text(act))


def test_the_database_lets_nothing_follow_an_end(engine: Engine) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
        session.execute(text(ADD.format(number=2, state="EXPIRED", at="2024-01-01T00:00Z")))
    with pytest.raises(DBAPIError, match="has ended as EXPIRED"), session_scope(engine) as session:
        session.execute(text(ADD.format(number=3, state="ACTIVE", at="2024-01-02T00:00Z")))


def test_the_schedule_expires_what_is_over_and_revokes_its_keys(engine: Engine) -> None:
    end = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    document = acme()
    document["subscriptions"][0]["endDate"] = end
    with session_scope(engine) as session:
        applied(session, document)
        key = session.scalars(select(ApiKeyRow).where(ApiKeyRow.name == "ann")).one()
        session.add(KeySubscriptionRow(tenant_id="acme", key_id=key.id, subscription_id="sub_ann"))
    soon = keep_up(engine, datetime.now(UTC) + timedelta(days=25))
    assert (soon.moved, soon.stuck) == (1, {})
    assert status(engine) == "EXPIRING_SOON"
    assert keep_up(engine, datetime.now(UTC) + timedelta(days=31)).moved == 1
    assert status(engine) == "EXPIRED"
    with session_scope(engine) as session:
        states = dict(session.execute(select(ApiKeyRow.name, ApiKeyRow.status)).tuples().all())
    assert states == {"main": "ACTIVE", "ann": "REVOKED"}


def status(engine: Engine) -> str:
    with session_scope(engine) as session:
        return session.scalars(select(SubscriptionRow.status).where(SubscriptionRow.id == "sub_ann")).one()


def test_a_file_agrees_trials_and_changes_nothing_the_second_time(engine: Engine) -> None:
    document = acme()
    document["offerings"][0]["trialDays"] = 14
    document["subscriptions"][0] |= {"startTrial": True}
    document["subscriptions"][1] |= {"trialEndsAt": "2023-10-20T00:00:00Z", "autoConvertPaid": False}
    with session_scope(engine) as session:
        applied(session, document)
    with session_scope(engine) as session:
        again, _ = applied(session, document)
        phases = Subscriptions(session, "acme").phases()
    assert {change.action for change in again.changes} == {"unchanged"}
    assert [each.state for each in phases["sub_ann"]] == ["TRIALING", "ACTIVE"]
    assert [each.state for each in phases["sub_bob"]] == ["TRIALING", "PAUSED"]
    assert phases["sub_ann"][1].starts_at == datetime(2023, 11, 15, tzinfo=UTC)


@pytest.fixture
def bare(database_server: Databases) -> Iterator[str]:
    """A database as the first release left it: at revision 0001."""
    name = f"bare_{secrets.token_hex(4)}"
    url = database_server._server.url("postgres")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield database_server._server.url(name)
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_subscriptions_of_the_first_release_get_the_phases_they_went_through(bare: str) -> None:
    engine = make_engine(bare, pool_size=1)
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    config.set_main_option("path_separator", "os")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in FIRST_RELEASE:
            connection.execute(text(statement))
        connection.commit()
    migrate(bare)
    with session_scope(engine) as session:
        phases = Subscriptions(session, "t").phases()
        states = dict(session.execute(select(SubscriptionRow.id, SubscriptionRow.status)).tuples().all())
    engine.dispose()
    assert {key: [str(each.state) for each in found] for key, found in phases.items()} == {
        "live": ["ACTIVE"], "over": ["ACTIVE", "EXPIRED"], "to_come": ["CREATED"],
    }  # fmt: skip
    assert states == {"live": "ACTIVE", "over": "EXPIRED", "to_come": "CREATED"}


_SUBSCRIPTION = (
    "INSERT INTO subscriptions (tenant_id, id, customer_id, offering_id, plan_id, plan_version, billing_entity_id, status, "
    "start_date, starts_at, ends_at, billing_cycle, anchor_day, time_zone) "
    "SELECT 't', '{id}', 'c', 'o', 'p', 1, 'e', 'ACTIVE', CAST({start} AS date), {start}, {end}, 'MONTHLY', 1, 'UTC'"
)
FIRST_RELEASE = (
    "INSERT INTO tenants (id, name, currency, time_zone) VALUES ('t', 'T', 'USD', 'UTC')",
    "INSERT INTO billing_entities VALUES ('t', 'e', 'E', 'INV', 'HALF_EVEN', true)",
    "INSERT INTO rate_plans (tenant_id, id, name, currency) VALUES ('t', 'p', 'P', 'USD')",
    "INSERT INTO rate_plan_versions (tenant_id, plan_id, version, content, content_hash) "
    'VALUES (\'t\', \'p\', 1, \'{"currency": "USD", "name": "P", "baseFee": "1", "prices": []}\', \'x\')'.replace(
        ":", "\\:"
    ),
    "INSERT INTO offerings (tenant_id, id, name, type, status, plan_id, billing_mode, currency, trial_days, entitlements) "
    "VALUES ('t', 'o', 'O', 'STANDALONE', 'ACTIVE', 'p', 'POSTPAID', 'USD', 0, '[]')",
    "INSERT INTO customers (tenant_id, id, name, plan, currency, time_zone) VALUES ('t', 'c', 'C', 'STANDARD', 'USD', 'UTC')",
    _SUBSCRIPTION.format(id="over", start="now() - interval '60 days'", end="now() - interval '30 days'"),
    _SUBSCRIPTION.format(id="live", start="now() - interval '20 days'", end="now() + interval '3 days'"),
    _SUBSCRIPTION.format(id="to_come", start="now() + interval '3 days'", end="NULL"),
)
