"""The audit log's chain: whole under concurrency, broken by any tampering."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from domain.actor import Actor
from storage.database import session_scope
from storage.repositories.audit import Audit
from storage.repositories.audit_trail import Verdict, verify
from storage.tables.tenants import TenantRow
from storage.tenancy import tenant_tx

SOMEBODY = Actor("opk_1", "ADMIN", "127.0.0.1", "req-1")


@pytest.fixture
def acme(engine: Engine) -> Engine:
    """The tenant acme with three entries."""
    with session_scope(engine) as session:
        session.execute(
            insert(TenantRow), {"id": "acme", "name": "Acme", "currency": "USD", "time_zone": "UTC"}
        )
    for number in range(3):
        with tenant_tx(engine, "acme", SOMEBODY) as tx:
            tx.record(
                "THING_MADE",
                "thing",
                str(number),
                {"price": {"before": None, "after": Decimal("1.10")}},
                "why",
            )
    return engine


def verdict(engine: Engine) -> Verdict:
    with session_scope(engine) as session:
        return verify(session, "acme")


def tamper(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only"))
        connection.execute(text(statement))


def ids(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT event_id FROM audit_log ORDER BY id")).scalars())


def test_an_untouched_log_holds(acme: Engine) -> None:
    assert verdict(acme) == Verdict("acme", 3)


def test_an_entry_says_who_from_where_and_by_which_request(acme: Engine) -> None:
    with tenant_tx(acme, "acme") as tx:
        newest = Audit(tx.session, "acme").entries(1)[0]
    assert (newest.actor, newest.role, newest.ip, newest.request_id) == (
        "opk_1",
        "ADMIN",
        "127.0.0.1",
        "req-1",
    )
    assert newest.changes == {"price": {"before": None, "after": "1.10"}}


def test_a_changed_entry_is_named(acme: Engine) -> None:
    tamper(acme, "UPDATE audit_log SET reason = 'other' WHERE target_id = '1'")
    found = verdict(acme)
    assert (found.broken, found.entries) == (ids(acme)[1], 1)


def test_a_removed_entry_is_noticed_at_the_one_after_it(acme: Engine) -> None:
    second_last = ids(acme)[2]
    tamper(acme, "DELETE FROM audit_log WHERE target_id = '1'")
    assert verdict(acme).broken == second_last


def test_a_cut_off_end_is_noticed(acme: Engine) -> None:
    tamper(acme, "DELETE FROM audit_log WHERE target_id = '2'")
    found = verdict(acme)
    assert not found.holds and found.broken is None and "ends after 2" in (found.what or "")


def test_an_entry_slipped_in_is_noticed(acme: Engine) -> None:
    forged = ids(acme)[2]
    tamper(
        acme,
        "INSERT INTO audit_log (tenant_id, at, actor, action, target_type, target_id, changes, event_id, prev_hash, hash) "
        f"SELECT tenant_id, at, actor, action, target_type, 'x', changes, 'evt_x', hash, hash FROM audit_log WHERE event_id = '{forged}'",
    )
    assert verdict(acme).broken == "evt_x"


def test_concurrent_writers_make_one_chain(acme: Engine) -> None:
    def write(number: int) -> None:
        with tenant_tx(acme, "acme") as tx:
            for part in ("a", "b"):
                tx.record("THING_MADE", "thing", f"{number}{part}")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(40)))
    assert verdict(acme) == Verdict("acme", 83)


def test_what_is_rolled_back_leaves_no_entry(acme: Engine) -> None:
    with pytest.raises(ZeroDivisionError), tenant_tx(acme, "acme") as tx:
        tx.record("THING_MADE", "thing", "never")
        raise ZeroDivisionError
    with tenant_tx(acme, "acme") as tx:
        with pytest.raises(ZeroDivisionError), tx.session.begin_nested():
            tx.record("THING_MADE", "thing", "not either")
            raise ZeroDivisionError
        with tx.session.begin_nested():
            tx.record("THING_MADE", "thing", "kept")
    with tenant_tx(acme, "acme") as tx:
        assert [row.target_id for row in Audit(tx.session, "acme").entries(2)] == ["kept", "2"]
    assert verdict(acme).holds


def test_the_time_of_an_entry_is_the_transactions(acme: Engine) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    with tenant_tx(acme, "acme", at=at) as tx:
        tx.record("THING_MADE", "thing", "x")
    with tenant_tx(acme, "acme") as tx:
        assert Audit(tx.session, "acme").entries(1)[0].at == at
    assert verdict(acme).holds


@pytest.mark.parametrize(
    "act", ["UPDATE audit_log SET reason = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_a_tenants_transaction_has_no_way_to_change_the_log(acme: Engine, act: str) -> None:
    with pytest.raises(DBAPIError), tenant_tx(acme, "acme") as tx:
        tx.session.execute(text(act))
