"""Exchange rates. Put here: adding and removing them. Keep out: which one holds (domain.exchange), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import Fields
from domain.catalog.fx_rates import read_fx_rate, written_fx_rate
from domain.errors import Conflict, NotFound
from domain.exchange import OLDEST, FxRate
from domain.invoice_life import DRAFT, VOID
from domain.money import unpadded
from storage.repositories.paging import PageQuery, keyset
from storage.services.differences import differences
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.taxes import FxRateRow
from storage.tenancy import Tx


class FxRateNotFound(NotFound):
    code = "FX_RATE_NOT_FOUND"

    def __init__(self, rate_id: str) -> None:
        super().__init__(f"there is no exchange rate {rate_id}")


class FxRateTaken(Conflict):
    code = "FX_RATE_TAKEN"

    def __init__(self, rate: FxRate) -> None:
        pair = f"{rate.from_currency} to {rate.to_currency}"
        super().__init__(f"day: there is a rate from {pair} for {rate.day} already, and bills may rest on it")


class FxRateReliedOn(Conflict):
    """Issued invoices, and those that follow them at a locked rate, were converted at the rate that holds on the day so far."""

    code = "FX_RATE_RELIED_ON"

    def __init__(self, rate: FxRate, before: FxRateRow) -> None:
        super().__init__(
            f"day: on {rate.day} the rate of {before.day} holds ({unpadded(before.rate)} from {rate.from_currency} to "
            f"{rate.to_currency}), and issued invoices rest on it; add a rate for a day from today on"
        )


class FxRateInForce(Conflict):
    code = "FX_RATE_IN_FORCE"

    def __init__(self, rate_id: str) -> None:
        super().__init__(
            f"exchange rate {rate_id} is of a day that has come, and bills may rest on it; it cannot be removed"
        )


class FxRates:
    """One tenant's exchange rates. They are never edited."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def create(self, sent: Mapping[str, Any]) -> FxRateRow:
        """Raises FieldProblem, FxRateTaken, FxRateReliedOn."""
        rate = read_fx_rate(Fields(sent, ""))
        before = self._replaced(rate)
        if before is not None and self._is_billed(before):
            raise FxRateReliedOn(rate, before)
        row = FxRateRow(
            tenant_id=self._tx.tenant_id,
            id=f"fxr_{secrets.token_hex(8)}",
            from_currency=rate.from_currency,
            to_currency=rate.to_currency,
            day=rate.day,
            rate=rate.rate,
            source=rate.source,
            created_at=self._tx.at,
        )
        try:
            with self._tx.session.begin_nested():
                self._tx.session.add(row)
        except IntegrityError as error:
            raise FxRateTaken(rate) from error
        self._tx.session.refresh(row)
        self._tx.record("FX_RATE_CREATED", "fxRate", row.id, differences({}, written_fx_rate(rate)))
        return row

    def _replaced(self, rate: FxRate) -> FxRateRow | None:
        """The rate that holds on a day gone by, and would no longer."""
        if rate.day >= self._tx.at.astimezone(UTC).date():
            return None
        row = FxRateRow
        query = select(row).where(
            row.tenant_id == self._tx.tenant_id,
            row.from_currency == rate.from_currency,
            row.to_currency == rate.to_currency,
            row.day < rate.day,
            row.day >= rate.day - OLDEST,
        )
        return self._tx.session.scalars(query.order_by(row.day.desc()).limit(1)).one_or_none()

    def _is_billed(self, rate: FxRateRow) -> bool:
        """Whether an issued invoice was converted at the rate."""
        line, invoice = InvoiceLineRow, InvoiceRow
        query = (
            select(line.line_id)
            .join(invoice, (invoice.tenant_id == line.tenant_id) & (invoice.id == line.invoice_id))
            .where(
                line.tenant_id == rate.tenant_id,
                line.price_currency == rate.from_currency,
                line.currency == rate.to_currency,
                line.fx_rate == rate.rate,
                invoice.status.not_in((DRAFT, VOID)),
            )
        )
        return self._tx.session.execute(query.limit(1)).first() is not None

    def get(self, rate_id: str) -> FxRateRow:
        """Raises FxRateNotFound."""
        row = self._tx.session.get(FxRateRow, (self._tx.tenant_id, rate_id))
        if row is None:
            raise FxRateNotFound(rate_id)
        return row

    def page(
        self, page: PageQuery, *, from_currency: str | None = None, to_currency: str | None = None
    ) -> tuple[list[FxRateRow], int, str | None]:
        """Rows, how many there are, and the next page's cursor. Raises FieldProblem."""
        query = select(FxRateRow).where(FxRateRow.tenant_id == self._tx.tenant_id)
        if from_currency is not None:
            query = query.where(FxRateRow.from_currency == from_currency.upper())
        if to_currency is not None:
            query = query.where(FxRateRow.to_currency == to_currency.upper())
        columns = {"-day": FxRateRow.day, "id": FxRateRow.id}
        return keyset(self._tx.session, query, columns, page)

    def delete(self, rate_id: str) -> None:
        """A rate of a day still to come. Raises FxRateNotFound, FxRateInForce."""
        row = self.get(rate_id)
        if row.day <= self._tx.at.date():
            raise FxRateInForce(rate_id)
        self._tx.session.delete(row)
        self._tx.record("FX_RATE_DELETED", "fxRate", rate_id)
