"""A tenant's transaction sees one tenant, even through a query that forgot to say which."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DBAPIError

from storage.database import make_engine, migrate, session_scope
from storage.repositories.audit import Audit
from storage.repositories.audit_trail import verify
from storage.tables.base import Base
from storage.tables.tenants import TenantRow
from storage.tenancy import installation_tx, tenant_tx


@pytest.fixture
def two(engine: Engine) -> Engine:
    """A database in which acme and rival each have an audit entry."""
    with session_scope(engine) as session:
        for tenant in ("acme", "rival"):
            session.execute(
                insert(TenantRow), {"id": tenant, "name": tenant, "currency": "USD", "time_zone": "UTC"}
            )
            Audit(session, tenant).record("THING_MADE", "thing", tenant)
    return engine


def test_a_forgotten_where_shows_one_tenant_only(two: Engine) -> None:
    with tenant_tx(two, "acme") as tx:
        assert tx.session.execute(text("SELECT tenant_id FROM audit_log")).scalars().all() == ["acme"]
        assert tx.session.scalars(select(TenantRow.id)).all() == ["acme"]


def test_the_owner_of_the_tables_sees_every_tenant(two: Engine) -> None:
    with session_scope(two) as session:
        assert session.execute(text("SELECT count(*) FROM audit_log")).scalar_one() == 2
    with installation_tx(two) as tx:
        assert tx.session.scalars(select(TenantRow.id).order_by(TenantRow.id)).all() == ["acme", "rival"]


def test_another_tenants_rows_can_neither_be_written_nor_changed(two: Engine) -> None:
    foreign = "INSERT INTO billing_entities (tenant_id, id, name, invoice_prefix, rounding, is_default) VALUES ('rival', 'x', 'x', 'X', 'HALF_UP', false)"
    with pytest.raises(DBAPIError, match="row-level security"), tenant_tx(two, "acme") as tx:
        tx.session.execute(text(foreign))
    with tenant_tx(two, "acme") as tx:
        assert tx.session.execute(text("UPDATE tenants SET name = 'mine' WHERE id = 'rival'")).rowcount == 0


def test_a_connection_given_back_acts_for_nobody(two: Engine) -> None:
    single = two.execution_options()
    with tenant_tx(single, "acme"):
        pass
    with single.connect() as connection:
        assert connection.execute(text("SELECT current_setting('aforo.tenant', true)")).scalar() in (None, "")
        assert connection.execute(text("SELECT current_user <> 'aforo_tenant'")).scalar() is True


def test_every_table_with_a_tenant_is_protected(engine: Engine) -> None:
    query = text(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
    )
    with engine.connect() as connection:
        protected = set(connection.execute(query).scalars())
    assert set(Base.metadata.tables) - protected == set()


@pytest.fixture
def plain_owner(database_url: str) -> Iterator[str]:
    """URL of an empty database whose owner has no special rights."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE plain_owner LOGIN")
        admin.execute("CREATE DATABASE plain OWNER plain_owner")
    host = psycopg.conninfo.conninfo_to_dict(database_url)["host"]
    yield f"postgresql://plain_owner@/plain?host={host}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE plain WITH (FORCE)")
        admin.execute("DROP ROLE plain_owner")


def test_an_owner_who_may_not_take_the_role_is_told_what_to_ask_for(plain_owner: str) -> None:
    with pytest.raises(DBAPIError, match="GRANT aforo_tenant TO plain_owner"):
        migrate(plain_owner)


def test_an_owner_without_special_rights_keeps_seeing_everything(plain_owner: str, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("GRANT aforo_tenant TO plain_owner")
    migrate(plain_owner)
    engine = make_engine(plain_owner)
    try:
        with session_scope(engine) as session:
            for tenant in ("acme", "rival"):
                about = {"id": tenant, "name": tenant, "currency": "USD", "time_zone": "UTC"}
                session.execute(insert(TenantRow), about)
        with tenant_tx(engine, "rival") as tx:
            tx.record("THING_MADE", "thing", "x")
            assert tx.session.scalars(select(TenantRow.id)).all() == ["rival"]
        with session_scope(engine) as session:
            assert len(session.scalars(select(TenantRow.id)).all()) == 2
            assert verify(session, "rival").entries == 1
    finally:
        engine.dispose()
