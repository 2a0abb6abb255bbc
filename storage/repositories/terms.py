"""Terms as agreed, frozen for a month. Put here: which contracts a month's bill looks at. Keep out: what they say (domain.terms)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.period import parse_month
from domain.terms import Contract, terms_of_month
from storage.repositories.adjustments import adjustment_terms
from storage.repositories.contracts import contracts
from storage.repositories.coupons import CouponRepository, discounts_during
from storage.repositories.wallet_billing import Span, bonus_units
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
    bonus = {tenant_id: bonus_units(session, tenant_id) for tenant_id in chosen}
    found = []
    for tenant_id in chosen:
        agreed = [
            row
            | {"coupons": _coupons(row, contract, attached[tenant_id].get(row["subscription_id"], ()))}
            | _unbillable(row, bonus[tenant_id].get((row["customer_id"], row["unit"]), ()))
            for contract in contracts(session, tenant_id, customers or None)
            for row in terms_of_month(contract, month)
        ]
        found += [*agreed, *adjustment_terms(session, tenant_id, month, customers, agreed)]
    return found


def _coupons(
    row: Mapping[str, Any], contract: Contract, redemptions: Iterable[CouponRedemptionRow]
) -> list[str]:
    """Coupons acting on the period; of a fee that comes back, on the period whose bill charged it."""
    start = row["period_start"]
    if row["kind"] == "FEE_CREDIT":
        start = contract.schedule.at(start - timedelta(microseconds=1)).start
    return [discount.as_text() for discount in discounts_during(redemptions, start)]


def _unbillable(row: Mapping[str, Any], spans: Iterable[Span]) -> dict[str, Any]:
    """Bonus units in the customer's wallet are not burned by bills yet: charging for them would be wrong, so the line is held."""
    live = any(
        start < row["active_end"] and (end is None or end > row["active_start"]) for start, end in spans
    )
    return {"unsupported": "bonus units in the wallet"} if live else {}
