"""Connections, migrations, and what the database itself refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from storage.database import (
    DatabaseUnavailable,
    NotAPostgresUrl,
    advisory_lock,
    migrate,
    session_scope,
    sqlalchemy_url,
)
from storage.repositories.audit import Audit
from storage.tables import catalog, customers, invoices, operations, tenants, wallet_grants  # noqa: F401
from storage.tables.base import Base
from tests.storage.worlds import ACME, applied


def test_the_migrations_make_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_from_several_processes_at_once_is_harmless(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [database_url] * 4))


def test_a_plain_url_gets_the_driver_we_use() -> None:
    assert sqlalchemy_url("postgresql://u:p%40@h/db") == "postgresql+psycopg://u:p%40@h/db"
    with pytest.raises(NotAPostgresUrl, match="mysql"):
        sqlalchemy_url("mysql://h/db")


def test_a_database_that_is_not_there_is_a_transient_failure() -> None:
    with pytest.raises(DatabaseUnavailable), session_scope("postgresql://127.0.0.1:1/nowhere") as session:
        session.execute(text("SELECT 1"))


def test_a_named_lock_is_held_by_one_at_a_time(engine: Engine) -> None:
    with advisory_lock(engine, "a"), engine.connect() as other:
        taken = other.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
        assert taken == 1
    with engine.connect() as other:
        assert (
            other.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one() == 0
        )


@pytest.mark.parametrize("table", ["audit_log", "rate_plan_versions"])
@pytest.mark.parametrize("act", ["UPDATE {} SET tenant_id = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_what_was_recorded(engine: Engine, table: str, act: str) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(act.format(table)))


def test_every_table_but_tenants_is_keyed_by_tenant() -> None:
    for table in Base.metadata.tables.values():
        if table.name != "tenants":
            assert next(iter(table.primary_key.columns)).name == "tenant_id", table.name


def test_an_audit_entry_says_who_did_what(session: Session) -> None:
    applied(session, ACME)
    Audit(session, "acme", "key_1").record("USAGE_BACKFILL", "file", "a.csv", {"rows": 3}, "history")
    newest = Audit(session, "acme").entries(1)[0]
    assert (newest.actor, newest.action, newest.reason) == ("key_1", "USAGE_BACKFILL", "history")
