"""Terms as agreed, frozen for a month. Put here: which contracts a month's bill looks at. Keep out: what they say (domain.terms)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.period import parse_month
from domain.terms import terms_of_month
from storage.repositories.adjustments import adjustment_terms
from storage.repositories.contracts import contracts
from storage.repositories.coupons import CouponRepository, discounts_during
from storage.tables.money import CouponRedemptionRow
from storage.tables.tenants import TenantRow


def frozen_terms(
    session: Session,
    *,
    month: str,
    tenants: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS for the month (YYYY-MM), ordered by tenant, customer, subscription, period and line; adjustments of
    closed months stand behind the terms of their tenant.

    tenants, customers: only these; None or empty: all. Decimals and aware UTC instants. Raises NotAMonth.
    """
    parse_month(month)
    known = session.scalars(select(TenantRow.id).order_by(TenantRow.id)).all()
    chosen = [tenant_id for tenant_id in known if not tenants or tenant_id in tenants]
    attached = {tenant_id: CouponRepository(session, tenant_id).attached() for tenant_id in chosen}
    found = []
    for tenant_id in chosen:
        agreed = [
            row | {"coupons": _coupons(row, attached[tenant_id].get(row["subscription_id"], ()))}
            for contract in contracts(session, tenant_id, customers or None)
            for row in terms_of_month(contract, month)
        ]
        found += [*agreed, *adjustment_terms(session, tenant_id, month, customers, agreed)]
    return found


def _coupons(row: Mapping[str, Any], redemptions: Iterable[CouponRedemptionRow]) -> list[str]:
    return [discount.as_text() for discount in discounts_during(redemptions, row["period_start"])]
