"""Catalogs of the first release, brought to the one with every field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from tests.storage.older import unmigrated, upgrade

OF_BEFORE = (
    "INSERT INTO tenants (id, name, currency, time_zone) VALUES ('acme', 'Acme', 'USD', 'UTC')",
    "INSERT INTO units (tenant_id, id, name, aggregation, filters, allow_negative) VALUES"
    " ('acme', 'calls', 'API Calls', 'COUNT', '[]', false), ('acme', 'bytes', 'bytes', 'SUM', '[]', false)",
    "INSERT INTO products (tenant_id, id, name, type, details) VALUES"
    " ('acme', 'a', 'Same', 'API', '{}'), ('acme', 'b', 'same', 'API', '{}'), ('acme', 'c', 'Other', 'API', '{}')",
)


@pytest.fixture
def old(database_url: str) -> Iterator[Connection]:
    """A database of the first release with a catalog in it."""
    with unmigrated(database_url) as connection:
        upgrade(connection, "0001")
        for statement in OF_BEFORE:
            connection.execute(text(statement))
        connection.commit()
        yield connection


def test_units_and_products_of_the_first_release_stay_in_use(old: Connection) -> None:
    upgrade(old, "0003")
    assert old.execute(text("SELECT status, required, product_types, revision FROM units")).all() == [
        ("ACTIVE", False, [], 1), ("ACTIVE", False, [], 1),
    ]  # fmt: skip
    words = old.execute(text("SELECT word, unit_id FROM unit_words ORDER BY word")).all()
    assert words == [("api calls", "calls"), ("bytes", "bytes"), ("calls", "calls")]
    names = old.execute(text("SELECT name, status FROM products ORDER BY id")).all()
    assert names == [("Same", "ACTIVE"), ("same b", "ACTIVE"), ("Other", "ACTIVE")]


def test_money_in_wallets_becomes_a_grant_of_cash(old: Connection) -> None:
    upgrade(old, "0009")
    for statement in (
        "INSERT INTO customers (tenant_id, id, name, plan, currency, time_zone) VALUES ('acme', 'ann', 'Ann', 'STANDARD', 'USD', 'UTC')",
        "INSERT INTO wallets (tenant_id, id, customer_id, currency) VALUES ('acme', 'wal_1', 'ann', 'USD')",
        "INSERT INTO wallet_transactions (tenant_id, id, wallet_id, kind, amount, balance_after, actor, at) VALUES"
        " ('acme', 'wtx_0', 'wal_1', 'TOP_UP', 5, 5, 'x', now())",
        "INSERT INTO wallet_entries VALUES ('acme', 'wtx_0', 'CASH', 5), ('acme', 'wtx_0', 'FUNDING', -5)",
    ):
        old.execute(text(statement))
    old.commit()
    upgrade(old, "0010")
    assert old.execute(text("SELECT kind, amount, remaining FROM wallet_grants")).all() == [("CASH", 5, 5)]
    assert old.execute(text("SELECT balance FROM wallets")).scalar_one() == 5
    assert old.execute(text("SELECT sum(amount) FROM wallet_entries")).scalar_one() == 0
