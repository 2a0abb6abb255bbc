"""Tax rates and exchange rates. Put here: their rows as domain nouns, and reading them. Keep out: what may change (services), which
one holds (domain.tax, domain.exchange)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.exchange import FxRate, FxTable
from domain.money import unpadded
from domain.tax import TaxRate
from storage.repositories.invoice_content import structs_of
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.taxes import TAX_COLUMNS, FxRateRow, InvoiceTaxRow, TaxRateRow
from transforms.frames import TAXES
from transforms.invoice_taxes import invoice_taxes


def tax_rate_of(row: TaxRateRow) -> TaxRate:
    """The row as the domain knows it."""
    return TaxRate(
        id=row.id,
        name=row.name,
        country=row.country,
        rate=unpadded(row.rate),
        valid_from=row.valid_from,
        region=row.region,
        city=row.city,
        category=row.category,
        inclusive=row.inclusive,
        valid_until=row.valid_until,
    )


def tax_rate_values(rate: TaxRate) -> dict[str, Any]:
    """The columns of the rate's row, without tenant and id."""
    return {
        "name": rate.name,
        "country": rate.country,
        "region": rate.region,
        "city": rate.city,
        "category": rate.category,
        "rate": rate.rate,
        "inclusive": rate.inclusive,
        "valid_from": rate.valid_from,
        "valid_until": rate.valid_until,
    }


class TaxRates:
    """One tenant's tax rates."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self) -> dict[str, TaxRate]:
        """Every rate by its id, past and future ones too."""
        query = select(TaxRateRow).where(TaxRateRow.tenant_id == self._tenant_id).order_by(TaxRateRow.id)
        return {row.id: tax_rate_of(row) for row in self._session.scalars(query)}

    def get(self, rate_id: str) -> TaxRateRow | None:
        """The rate, as it is now."""
        return self._session.get(TaxRateRow, (self._tenant_id, rate_id), populate_existing=True)

    def save(self, rates: Iterable[TaxRate]) -> None:
        """Insert them, or update those whose id is there already."""
        for rate in rates:
            values = tax_rate_values(rate)
            statement = upsert(TaxRateRow).values(tenant_id=self._tenant_id, id=rate.id, **values)
            changed = values | {"revision": TaxRateRow.revision + 1, "updated_at": func.now()}
            self._session.execute(
                statement.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=changed)
            )


def taxes_of(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """The invoice's taxes in order, each with all its columns but its keys."""
    table = InvoiceTaxRow
    query = select(table).where(table.tenant_id == invoice.tenant_id, table.invoice_id == invoice.id)
    names = [name for name in TAX_COLUMNS if name not in ("tenant_id", "invoice_id")]
    return [
        {name: getattr(row, name) for name in names} for row in session.scalars(query.order_by(table.number))
    ]


def write_taxes(session: Session, invoice: InvoiceRow) -> None:
    """Write what the taxes of a new invoice's stored lines come to, rate by rate."""
    line = InvoiceLineRow
    query = select(line).where(line.tenant_id == invoice.tenant_id, line.invoice_id == invoice.id)
    rows = [
        {
            "tenant_id": row.tenant_id,
            "invoice_id": row.invoice_id,
            "currency": row.currency,
            "taxes": structs_of("taxes", row.taxes),
        }
        for row in session.scalars(query)
    ]
    schema = dict.fromkeys(("tenant_id", "invoice_id", "currency"), pl.String) | {"taxes": TAXES}
    for row in invoice_taxes(pl.DataFrame(rows, schema=schema)).select(*TAX_COLUMNS).iter_rows(named=True):
        session.add(InvoiceTaxRow(**row))
    session.flush()


def fx_table(session: Session, tenant_id: str) -> FxTable:
    """All exchange rates of the tenant."""
    rows = session.scalars(select(FxRateRow).where(FxRateRow.tenant_id == tenant_id))
    return FxTable(FxRate(row.from_currency, row.to_currency, row.day, unpadded(row.rate)) for row in rows)
