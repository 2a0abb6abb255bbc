"""Taxes reach every database, whatever revision 0009 was when it passed there."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

import storage.tables.all  # noqa: F401 — the metadata knows every table
from storage.tables.base import Base
from tests.storage.older import unmigrated, upgrade

TABLES = {"tax_rates", "fx_rates", "invoice_taxes"}


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def is_as_the_models_say(connection: Connection) -> bool:
    return compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_stamped_before_there_were_taxes_gets_them(database_url: str) -> None:
    with unmigrated(database_url) as connection:
        upgrade(connection, "0012")
        assert not TABLES & tables(connection), "revisions that were released stay what they were"
        upgrade(connection, "head")
        assert tables(connection) >= TABLES
        assert is_as_the_models_say(connection)
        protected = "SELECT relname FROM pg_class WHERE relrowsecurity AND relname = ANY(:tables)"
        assert set(connection.execute(text(protected), {"tables": list(TABLES)}).scalars()) == TABLES


def test_a_database_that_has_taxes_already_keeps_them(database_url: str) -> None:
    with unmigrated(database_url) as connection:
        upgrade(connection, "head")
        connection.execute(
            text("INSERT INTO tenants (id, name, currency, time_zone) VALUES ('a', 'A', 'USD', 'UTC')")
        )
        connection.execute(text("INSERT INTO fx_rates VALUES ('a', 'fx_1', 'EUR', 'USD', '2026-01-01', 1.1)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0016'"))
        connection.commit()
        upgrade(connection, "0017")
        assert connection.execute(text("SELECT rate FROM fx_rates")).scalar_one()
        assert is_as_the_models_say(connection)
