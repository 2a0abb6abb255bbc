"""How the two sides of an invoice are called. Put here: what an issued invoice keeps of seller, buyer and wording. Keep out: figures,
rendering."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.customers import written_customer
from domain.catalog.issuers import written_entity
from domain.invoice_life import DUE_DAYS
from storage.repositories.billing_entities import entity_of
from storage.repositories.customers import customer_of
from storage.tables.catalog import OfferingRow, UnitRow
from storage.tables.customers import CustomerRow, SubscriptionRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from storage.tables.tenants import BillingEntityRow, OrganizationSettingsRow


def appearance(session: Session, row: InvoiceRow) -> dict[str, Any]:
    """Seller, buyer, note and the names of subscriptions and units as they are now, as JSON: what is issued keeps them."""
    issuer = session.get_one(BillingEntityRow, (row.tenant_id, row.billing_entity))
    customer = session.get(CustomerRow, (row.tenant_id, row.customer_id))
    return {
        "seller": written_entity(entity_of(issuer)),
        "buyer": {"id": row.customer_id, "name": row.customer_id}
        if customer is None
        else {
            name: value
            for name, value in written_customer(customer_of(customer)).items()
            if name != "metadata"
        },
        "note": terms_of(session, row.tenant_id).get("invoiceNote"),
        "timeZone": issuer.time_zone if customer is None else customer.time_zone,
        "subscriptions": _subscriptions(session, row),
        "units": _units(session, row),
    }


def due_days(session: Session, row: InvoiceRow) -> int:
    """Days to pay: the customer's, else the tenant's, else the usual ones."""
    customer = session.get(CustomerRow, (row.tenant_id, row.customer_id))
    own = None if customer is None else customer.details.get("paymentDueDays")
    agreed = terms_of(session, row.tenant_id).get("paymentDueDays") if own is None else own
    return DUE_DAYS if agreed is None else int(agreed)


def terms_of(session: Session, tenant_id: str) -> dict[str, Any]:
    """What the tenant's settings say about invoices."""
    settings = session.get(OrganizationSettingsRow, tenant_id)
    found = {} if settings is None else settings.settings.get("terms") or {}
    return dict(found)


def _subscriptions(session: Session, row: InvoiceRow) -> dict[str, str]:
    """The offerings' names by subscription."""
    line = InvoiceLineRow
    used = select(line.subscription_id).where(line.tenant_id == row.tenant_id, line.invoice_id == row.id)
    query = (
        select(SubscriptionRow.id, OfferingRow.name)
        .join(
            OfferingRow,
            (OfferingRow.tenant_id == SubscriptionRow.tenant_id)
            & (OfferingRow.id == SubscriptionRow.offering_id),
        )
        .where(SubscriptionRow.tenant_id == row.tenant_id, SubscriptionRow.id.in_(used))
    )
    return dict(session.execute(query).tuples().all())


def _units(session: Session, row: InvoiceRow) -> dict[str, str]:
    """What one of each unit on the invoice is called, such as token."""
    line = InvoiceLineRow
    used = select(line.unit).where(line.tenant_id == row.tenant_id, line.invoice_id == row.id)
    query = select(UnitRow.id, UnitRow.unit_label).where(
        UnitRow.tenant_id == row.tenant_id, UnitRow.id.in_(used)
    )
    return {unit: label for unit, label in session.execute(query).tuples() if label}
