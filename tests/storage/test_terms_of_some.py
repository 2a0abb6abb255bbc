"""Terms of some customers: those they have in the whole month, read without reading everybody's."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from storage.repositories.terms import frozen_terms
from storage.tables.customers import CustomerRow
from tests.storage.test_agreed_adjustments import adjusted
from tests.storage.test_agreed_terms import billed, rate, world
from tests.storage.worlds import applied

BOTH = ["ann", "bob"]


@pytest.fixture
def of_whom(session: Session) -> set[str]:
    """Whose rows the session loads from now on."""
    found: set[str] = set()

    def note(_: Session, row: Any) -> None:
        columns = row.__table__.columns
        found.update([row.id] if columns is CustomerRow.__table__.columns else [])
        found.update([row.customer_id] if "customer_id" in columns else [])

    event.listen(session, "loaded_as_persistent", note)
    return found


def test_some_customers_have_the_terms_they_have_among_all_and_nobody_elses_rows_are_read(
    session: Session, of_whom: set[str]
) -> None:
    plan = {"commitment": {"type": "PREPAID", "amount": 50}}
    applied(session, world([{"id": who, "currency": "EUR"} for who in BOTH], plan=plan))
    rate(session, "2025-12-31", "0.9")
    adjusted(session, billed(session, "2026-01"), {})
    for who in BOTH:
        _more_of(session, who)
    whole = frozen_terms(session, month="2026-02")
    assert {(row["customer_id"], row["kind"]) for row in whole} >= {(who, "ADJUSTMENT") for who in BOTH}
    for who in BOTH:
        session.expunge_all()
        of_whom.clear()
        part = frozen_terms(session, month="2026-02", customers=[who])
        mine = [row for row in whole if row["customer_id"] == who]
        assert [row | {"line_order": 0} for row in part] == [row | {"line_order": 0} for row in mine]
        assert of_whom == {who}


def _more_of(session: Session, who: str) -> None:
    """An adjustment, an attached coupon and bonus units in a wallet."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    said = {"who": who, "sub": f"sub_{who}", "now": now, "amount": Decimal(3)}
    for statement in (
        "INSERT INTO adjustments (tenant_id, id, replay_id, replay_hash, month, customer_id, subscription_id, line_id, description,"
        " period_start, period_end, currency, amount, reason, status) VALUES ('acme', 'adj_' || :who, 'rpy_1', 'x', '2026-01', :who,"
        " :sub, 'ln_' || :who, 'late', :now, :now, 'EUR', :amount, 'late', 'PENDING')",
        "INSERT INTO wallets (tenant_id, id, customer_id, currency) VALUES ('acme', 'wal_' || :who, :who, 'EUR')",
        "INSERT INTO wallet_grants (tenant_id, id, wallet_id, kind, unit, amount, effective_at) VALUES"
        " ('acme', 'grt_' || :who, 'wal_' || :who, 'BONUS_UNITS', 'calls', :amount, :now)",
    ):
        session.execute(text(statement), said)
