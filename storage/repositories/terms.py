"""Terms as agreed, frozen for a month. Put here: which contracts a month's bill looks at. Keep out: what they say (domain.terms)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.period import parse_month
from domain.terms import terms_of_month
from storage.repositories.subscriptions import Subscriptions
from storage.tables.tenants import TenantRow


def frozen_terms(
    session: Session,
    *,
    month: str,
    tenants: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS for the month (YYYY-MM), ordered by tenant, customer, subscription, period and line.

    tenants, customers: only these; None or empty: all. Decimals and aware UTC instants. Raises NotAMonth.
    """
    parse_month(month)
    known = session.scalars(select(TenantRow.id).order_by(TenantRow.id)).all()
    return [
        row
        for tenant_id in known
        if not tenants or tenant_id in tenants
        for contract in Subscriptions(session, tenant_id).contracts(customers or None)
        for row in terms_of_month(contract, month)
    ]
