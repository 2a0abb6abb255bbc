"""Terms as agreed, frozen for a month. Put here: which contracts a month's bill looks at. Keep out: what they say (domain.terms)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from domain.period import parse_month
from domain.tax import TaxEngine
from domain.terms import terms_of_month
from storage.repositories.adjustments import adjustment_terms
from storage.repositories.agreed import Agreed
from storage.repositories.chosen import chosen_tenants
from storage.repositories.contracts import contracts
from storage.repositories.interim_bills import interim_terms
from transforms.many_rows import kept_rows


def frozen_terms(
    session: Session,
    *,
    month: str,
    tenants: Collection[str] | None = None,
    customers: Collection[str] | None = None,
    tax_engines: Mapping[str, TaxEngine] | None = None,
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS for the month (YYYY-MM), ordered by tenant, customer, subscription, period and line; what interim
    invoices billed already and adjustments of closed months stand behind the terms of their tenant.

    tenants, customers: only these; None or empty: all. Decimals and aware UTC instants. tax_engines: who is asked
    about tax, by tenant; None: the built-in engine over the tenant's own rates. Raises NotAMonth.
    """
    parse_month(month)
    some = customers or None
    rows: list[dict[str, Any]] = []
    for tenant_id in chosen_tenants(session, tenants):
        engine = tax_engines.get(tenant_id) if tax_engines else None
        with kept_rows():
            agreed = Agreed(session, tenant_id, some, engine)
            own = [
                row
                for contract in contracts(session, tenant_id, some)
                for row in agreed.completed(contract, terms_of_month(contract, month))
            ]
            rows += [
                *own,
                *interim_terms(session, tenant_id, own, some),
                *adjustment_terms(session, agreed, month, some, own),
            ]
    return rows
