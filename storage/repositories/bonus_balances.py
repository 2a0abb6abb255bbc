"""What bills may take of bonus units. Put here: the units wallets hold, frozen for a month. Keep out: which usage they cover
(transforms.bonus_units), booking what was taken (wallet_billing.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.period import month_bounds
from domain.wallet_grants import BONUS_UNITS, waterfall
from storage.repositories.among import among
from storage.repositories.chosen import chosen_tenants
from storage.repositories.wallet_billing import lapsed_of, taken_in
from storage.services.wallet_books import fund
from storage.tables.money import WalletRow
from storage.tables.wallet_grants import WalletGrantRow

_STEP = Decimal("1e-9")
_LONGEST_PERIOD = timedelta(days=400)
"""A bill of a year looks back that far, and a little more."""


def frozen_bonus(
    session: Session,
    *,
    month: str,
    tenants: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of BONUS_BALANCES. What the month's bills took of a grant, and what lapsed of it, is there to be taken: usage from before
    it expired may still be billed. A customer of whom an invoice of the month is issued has what those invoices took, and no more."""
    since = month_bounds(month).start - _LONGEST_PERIOD
    return [
        row
        for tenant_id in chosen_tenants(session, tenants)
        for row in _of_tenant(session, tenant_id, month, since, customers or None)
    ]


def _of_tenant(
    session: Session, tenant_id: str, month: str, since: datetime, customers: Collection[str] | None
) -> Iterator[dict[str, Any]]:
    grants = _grants(session, tenant_id, since, customers)
    if not grants:
        return
    taken, issued = taken_in(session, tenant_id, month)
    final = {customer for customer, _ in issued}
    lapsed = lapsed_of(session, tenant_id, [row.id for mine in grants.values() for row in mine])
    for (customer, unit), mine in sorted(grants.items()):
        by_id = {row.id: row for row in mine}
        for place, each in enumerate(waterfall(fund(row, None) for row in mine)):
            own, zero = taken.get(each.grant_id, Decimal(0)), Decimal(0)
            free = own if customer in final else each.available + own + lapsed.get(each.grant_id, zero)
            row = by_id[each.grant_id]
            if free > 0:
                yield {
                    "month": month, "tenant_id": tenant_id, "customer_id": customer, "unit": unit, "wallet_id": row.wallet_id,
                    "grant_id": row.id, "burn_order": place, "available": free.quantize(_STEP, rounding=ROUND_FLOOR),
                    "effective_at": row.effective_at, "expires_at": row.expires_at,
                }  # fmt: skip


def _grants(
    session: Session, tenant_id: str, since: datetime, customers: Collection[str] | None
) -> dict[tuple[str, str], list[WalletGrantRow]]:
    """The bonus units that took effect, by customer and unit."""
    grant, wallet = WalletGrantRow, WalletRow
    same = (wallet.tenant_id == grant.tenant_id) & (wallet.id == grant.wallet_id)
    query = select(grant, wallet.customer_id).join(wallet, same)
    query = query.where(
        grant.tenant_id == tenant_id,
        grant.kind == BONUS_UNITS,
        grant.booked_at.is_not(None),
        (grant.expires_at.is_(None)) | (grant.expires_at > since),
        wallet.archived_at.is_(None),
    )
    if customers is not None:
        query = query.where(among(wallet.customer_id, customers))
    found: dict[tuple[str, str], list[WalletGrantRow]] = defaultdict(list)
    for row, customer in session.execute(query).tuples():
        found[(customer, row.unit or "")].append(row)
    return found
