"""What earlier bills of a term came to. Put here: reading it from the invoices. Keep out: what a commitment makes of it
(domain.commitment)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from domain.commitment import DRAW, OVERAGE, PREPAYMENT
from storage.tables.corrections import AdjustmentRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow

Spent = tuple[Decimal, Decimal]
_ZERO = Decimal(0)


class EarlierBills:
    """One tenant's billed periods, as far as they are on an invoice that stands."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._known: dict[str, dict[datetime, Spent]] = {}

    def of(self, subscription_id: str, periods: Iterable[datetime]) -> dict[datetime, Spent]:
        """(charged, drawn) of those of the periods, given by their start, that are billed."""
        if subscription_id not in self._known:
            self._known[subscription_id] = self._read(subscription_id)
        known = self._known[subscription_id]
        return {start: known[start] for start in periods if start in known}

    def _read(self, subscription_id: str) -> dict[datetime, Spent]:
        """What prepayments, draws and overage come to is not spent towards a commitment; a true-up is. An adjustment counts as the line it
        puts right."""
        line = InvoiceLineRow
        amount = line.amount + line.commit_adjustment
        of_line = aliased(InvoiceLineRow)
        put_right = (
            select(func.max(of_line.model))
            .join(
                AdjustmentRow,
                (AdjustmentRow.tenant_id == of_line.tenant_id) & (AdjustmentRow.line_id == of_line.line_id),
            )
            .where(AdjustmentRow.tenant_id == line.tenant_id, AdjustmentRow.id == line.line_id)
            .correlate(line)
            .scalar_subquery()
        )
        model = func.coalesce(put_right, line.model, "")
        charged = func.sum(case((model.in_([DRAW, OVERAGE, PREPAYMENT]), _ZERO), else_=amount))
        drawn = func.sum(case((model == DRAW, -amount), else_=_ZERO))
        query = (
            select(line.period_start, charged, drawn)
            .join(InvoiceRow, (InvoiceRow.tenant_id == line.tenant_id) & (InvoiceRow.id == line.invoice_id))
            .where(
                line.tenant_id == self._tenant_id,
                line.subscription_id == subscription_id,
                line.period_start.is_not(None),
                InvoiceRow.status != "VOID",
            )
            .group_by(line.period_start)
        )
        rows = self._session.execute(query).tuples()
        return {start.astimezone(UTC): (spent, taken) for start, spent, taken in rows if start is not None}
