"""Adjustments waiting for an invoice. Put here: the terms they become, and recording which invoice carried how much. Keep out:
making them (services.corrections), their arithmetic (transforms.adjustments)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from domain.errors import TransientFailure
from domain.invoice_life import DRAFT, NOT_BY_A_RUN, VOID
from domain.money import currency_exponent
from domain.terms import terms_of_month
from storage.repositories.agreed import Agreed
from storage.repositories.among import among
from storage.repositories.contracts import contracts
from storage.scope import Scope
from storage.tables.corrections import AdjustmentBillRow, AdjustmentRow
from storage.tables.invoices import InvoiceRow

_ORDER = 900_000
"""Adjustments stand behind the month's own lines."""
NOT_ITS_OWN = (
    "aggregation", "event_field", "filters", "rate", "block_size", "block_rate_basis", "min_fee", "per_event_fee", "per_event_min",
    "per_event_max", "tiers", "cap", "cap_behavior", "cap_carries", "minimum_spend", "maximum_spend", "spend_limit", "fee_ahead", "unsupported",
    "commitment", "problem", "price_currency", "fx_rate",
)  # fmt: skip
"""What of the term it is billed like does not hold for an adjustment; its amount is in the invoice's currency already."""
_OF_INVOICE = (AdjustmentBillRow.tenant_id == InvoiceRow.tenant_id) & (
    AdjustmentBillRow.invoice_id == InvoiceRow.id
)


class AdjustmentTaken(TransientFailure):
    """Another run has put the adjustment on an invoice meanwhile."""

    code = "ADJUSTMENT_TAKEN"

    def __init__(self, adjustment_id: str) -> None:
        super().__init__(
            f"adjustment {adjustment_id} went onto another month's invoice meanwhile; run this month again"
        )


def adjustment_terms(
    session: Session,
    agreed: Agreed,
    month: str,
    customers: Collection[str] | None,
    of_month: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS: what the month's invoices carry of adjustments. of_month: the tenant's other terms of the month.

    A month whose invoice was issued carries what it was issued with; any other month carries all that is open.
    """
    found = []
    for at, (row, amount) in enumerate(_open(session, agreed.tenant_id, month, customers)):
        found.append(_term(row, amount, _ORDER + at, month, _template(session, agreed, row, of_month)))
    return found


def _open(
    session: Session, tenant_id: str, month: str, customers: Collection[str] | None
) -> list[tuple[AdjustmentRow, Decimal]]:
    query = select(AdjustmentRow).where(AdjustmentRow.tenant_id == tenant_id, AdjustmentRow.month < month)
    if customers:
        query = query.where(among(AdjustmentRow.customer_id, customers))
    rows = session.scalars(query.order_by(AdjustmentRow.created_at, AdjustmentRow.id)).all()
    if not rows:
        return []
    bills = _bills(session, tenant_id, [row.id for row in rows])
    issued = _issued(session, tenant_id, month, {row.customer_id for row in rows})
    found = []
    for row in rows:
        of_row = bills.get(row.id, {})
        if (row.customer_id, row.currency) in issued:
            amount = of_row.get(month, Decimal(0))
        else:
            amount = row.amount - sum((part for at, part in of_row.items() if at != month), Decimal(0))
        if amount:
            found.append((row, amount))
    return found


def _bills(session: Session, tenant_id: str, adjustments: Collection[str]) -> dict[str, dict[str, Decimal]]:
    """By these adjustments and month: how much of it stands on invoices that are not void."""
    bill = AdjustmentBillRow
    query = (
        select(bill.adjustment_id, bill.month, func.sum(bill.amount))
        .join(InvoiceRow, _OF_INVOICE)
        .where(
            bill.tenant_id == tenant_id,
            among(bill.adjustment_id, adjustments),
            InvoiceRow.status != VOID,
        )
        .group_by(bill.adjustment_id, bill.month)
    )
    found: dict[str, dict[str, Decimal]] = {}
    for adjustment, month, amount in session.execute(query):
        found.setdefault(adjustment, {})[month] = amount
    return found


def _issued(session: Session, tenant_id: str, month: str, customers: Collection[str]) -> set[tuple[str, str]]:
    """(customer, currency) of these customers' invoices of the month that no run changes any more."""
    query = select(InvoiceRow.customer_id, InvoiceRow.currency).where(
        InvoiceRow.tenant_id == tenant_id,
        InvoiceRow.month == month,
        among(InvoiceRow.customer_id, customers),
        InvoiceRow.status != DRAFT,
        InvoiceRow.withdrawn.is_(False),
        InvoiceRow.kind.not_in(NOT_BY_A_RUN),
    )
    return set(session.execute(query).tuples())


def _template(
    session: Session, agreed: Agreed, row: AdjustmentRow, of_month: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A term that says how the customer is billed: the subscription's own of the month, if it can be for the
    same unit, which is taxed alike, another of the customer's, or the one the
    adjusted month had."""
    due = [each for each in of_month if each["due"] and each["customer_id"] == row.customer_id]
    of_subscription = [each for each in due if each["subscription_id"] == row.subscription_id]
    for each in sorted(of_subscription, key=lambda term: term["unit"] != row.unit):
        return each
    for each in due:
        if each["currency"] == row.currency:
            return each
    return next(
        term
        for contract in contracts(session, row.tenant_id, [row.customer_id])
        if contract.subscription_id == row.subscription_id
        for term in agreed.completed(contract, terms_of_month(contract, row.month))
    )


def _term(
    row: AdjustmentRow, amount: Decimal, order: int, month: str, template: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        **template,
        **dict.fromkeys(NOT_ITS_OWN),
        "month": month,
        "subscription_id": row.subscription_id,
        "line_id": row.id,
        "line_order": order,
        "due": True,
        "kind": "ADJUSTMENT",
        "period_start": row.period_start,
        "period_end": row.period_end,
        "active_start": row.period_start,
        "active_end": row.period_end,
        "currency": row.currency,
        "exponent": currency_exponent(row.currency),
        "description": row.description,
        "unit": row.unit,
        "model": "FEE",
        "flat_amount": amount,
        "included_free": Decimal(0),
        "billing_timing": "ARREARS",
        "rollover": False,
        "coupons": [],
    }


def record_bills(session: Session, scope: Scope, lines: pl.DataFrame) -> None:
    """Note which drafts of the scope's month carry how much of which adjustment, in place of what an earlier run noted. lines:
    ROUTED_LINES that are on invoices, just settled in this transaction. Raises AdjustmentTaken."""
    _forget(session, scope)
    carried = lines.filter(pl.col("line_type") == "ADJUSTMENT").select(
        "tenant_id", "line_id", "invoice_id", amount=pl.col("amount") + pl.col("commit_adjustment")
    )
    of_adjustments = AdjustmentRow.id.in_(carried["line_id"].to_list())
    query = _within(
        select(AdjustmentRow).where(or_(of_adjustments, AdjustmentRow.status == "PENDING")), scope
    )
    rows = session.scalars(
        query.order_by(AdjustmentRow.tenant_id, AdjustmentRow.id).with_for_update(),
        execution_options={"populate_existing": True},
    ).all()
    if not rows:
        return
    drafts = _drafts(session, carried["invoice_id"].to_list())
    for tenant, adjustment, invoice, amount in carried.iter_rows():
        if (tenant, invoice) in drafts and amount:
            session.add(
                AdjustmentBillRow(
                    tenant_id=tenant,
                    adjustment_id=adjustment,
                    invoice_id=invoice,
                    month=scope.month,
                    amount=amount,
                )
            )
    session.flush()
    restate(session, rows)


def _drafts(session: Session, invoices: list[str]) -> set[tuple[str, str]]:
    query = select(InvoiceRow.tenant_id, InvoiceRow.id).where(
        InvoiceRow.id.in_(invoices), InvoiceRow.status == DRAFT
    )
    return set(session.execute(query).tuples())


def _forget(session: Session, scope: Scope) -> None:
    """What earlier runs noted of the scope's drafts, and of those a rerun has withdrawn."""
    changeable = select(InvoiceRow.tenant_id, InvoiceRow.id).where(
        InvoiceRow.month == scope.month, or_(InvoiceRow.status == DRAFT, InvoiceRow.withdrawn)
    )
    if scope.tenants:
        changeable = changeable.where(InvoiceRow.tenant_id.in_(scope.tenants))
    if scope.customers:
        changeable = changeable.where(InvoiceRow.customer_id.in_(scope.customers))
    mine = changeable.subquery()
    bill = AdjustmentBillRow
    on = and_(bill.tenant_id == mine.c.tenant_id, bill.invoice_id == mine.c.id)
    session.execute(delete(bill).where(on).execution_options(synchronize_session=False))
    touched = _within(select(AdjustmentRow).where(AdjustmentRow.status == "BILLED"), scope)
    restate(session, session.scalars(touched.with_for_update()).all())


def _within(query: Select[Any], scope: Scope) -> Select[Any]:
    if scope.tenants:
        query = query.where(AdjustmentRow.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(AdjustmentRow.customer_id.in_(scope.customers))
    return query


def carried(session: Session, row: AdjustmentRow) -> Decimal:
    """How much of an adjustment invoices carry."""
    return sum(_bills(session, row.tenant_id, [row.id]).get(row.id, {}).values(), Decimal(0))


def restate(session: Session, rows: Sequence[AdjustmentRow]) -> None:
    """BILLED where invoices carry all of it. More than all of it: two months' runs took it at once, and this one gives way."""
    of_tenant: dict[str, list[str]] = {}
    for row in rows:
        of_tenant.setdefault(row.tenant_id, []).append(row.id)
    bills = {tenant: _bills(session, tenant, ids) for tenant, ids in of_tenant.items()}
    for row in rows:
        carried = sum(bills[row.tenant_id].get(row.id, {}).values(), Decimal(0))
        if abs(carried) > abs(row.amount):
            raise AdjustmentTaken(row.id)
        row.status = "BILLED" if carried == row.amount else "PENDING"
    session.flush()
