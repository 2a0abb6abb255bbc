"""Tenants and customers as written in a catalog. Put here: their shapes. Keep out: keys, subscriptions, issuers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.catalog.details import (
    Address,
    country,
    currency,
    email,
    maybe_key,
    metadata,
    read_address,
    time_zone,
    without_none,
    written_address,
)
from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.issuers import BillingEntity, read_entity

PLANS = ("STANDARD", "BUSINESS", "ENTERPRISE")
TAX_STATUSES = ("STANDARD", "EXEMPT", "REVERSE_CHARGE")
_NO_TAX_YET = {"tax": "tax", "taxCode": "tax", "coupons": "a coupon"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A vendor that sells. Currency and time zone are what its customers have unless they say otherwise."""

    id: str
    name: str
    currency: str = "USD"
    time_zone: str = "UTC"
    entity: BillingEntity = field(default_factory=BillingEntity)


@dataclass(frozen=True, slots=True)
class TaxStatus:
    """How a customer is taxed. status: one of TAX_STATUSES. tax_id: such as a VAT number. country: ISO 3166 alpha-2."""

    status: str = "STANDARD"
    tax_id: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """The tenant's customer. Billing periods are cut in `time_zone`. billing_entity: who bills it; None: the default issuer.
    external_id: what the tenant's own systems call it."""

    id: str
    name: str
    currency: str
    time_zone: str
    email: str | None = None
    plan: str = "STANDARD"
    external_id: str | None = None
    tax: TaxStatus | None = None
    address: Address | None = None
    billing_entity: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    payment_due_days: int | None = None


def read_tenant(fields: Fields) -> Tenant:
    """Raises FieldProblem."""
    key = fields.key("id")
    name = fields.maybe_text("name") or key
    code, zone = currency(fields, "currency", "USD"), time_zone(fields, "UTC")
    entity = fields.raw("billingEntity")[1]
    issuer = BillingEntity(base_currency=code, time_zone=zone)
    if entity is not None:
        issuer = read_entity(Fields(entity, fields.at("billingEntity")), code, zone)
    fields.done()
    return Tenant(key, name, code, zone, issuer)


def read_customer(fields: Fields, tenant: Tenant) -> Customer:
    """Raises FieldProblem, TermsNotSupported."""
    fields.refuse(_NO_TAX_YET)
    key = fields.key("id")
    customer = Customer(
        id=key,
        name=fields.maybe_text("name") or key,
        currency=currency(fields, "currency", tenant.currency, "defaultCurrency"),
        time_zone=time_zone(fields, tenant.time_zone),
        email=email(fields),
        plan=fields.choice("plan", PLANS, "STANDARD"),
        external_id=fields.maybe_text("externalId"),
        tax=_tax(fields),
        address=read_address(fields),
        billing_entity=maybe_key(fields, "billingEntity", "billingEntityId"),
        metadata=metadata(fields),
        payment_due_days=fields.whole("paymentDueDays", 0, 365),
    )
    fields.done()
    return customer


def read_details(sent: Mapping[str, Any]) -> tuple[TaxStatus | None, Address | None, dict[str, Any]]:
    """Tax status, address and metadata out of the part of a written customer that holds them. Raises FieldProblem."""
    fields = Fields(sent, "")
    return _tax(fields), read_address(fields), metadata(fields)


def written_customer(customer: Customer) -> dict[str, Any]:
    """As it is read; fields without a value are left out."""
    tax = customer.tax
    return without_none(
        {
            "id": customer.id,
            "name": customer.name,
            "email": customer.email,
            "plan": customer.plan,
            "defaultCurrency": customer.currency,
            "timeZone": customer.time_zone,
            "externalId": customer.external_id,
            "taxStatus": None if tax is None else _written_tax(tax),
            "address": written_address(customer.address),
            "billingEntity": customer.billing_entity,
            "metadata": dict(customer.metadata) or None,
            "paymentDueDays": customer.payment_due_days,
        }
    )


CUSTOMER_ALIASES = {"currency": "defaultCurrency", "billingEntityId": "billingEntity"}


def _tax(fields: Fields) -> TaxStatus | None:
    """Written as an object, or as the status alone."""
    name, sent = fields.raw("taxStatus")
    if sent is None:
        return None
    inner = Fields({"status": sent} if isinstance(sent, str) else sent, fields.at(name))
    tax = TaxStatus(
        status=inner.choice("status", TAX_STATUSES, "STANDARD", "type"),
        tax_id=inner.maybe_text("taxId"),
        country=country(inner, "country"),
    )
    inner.done()
    if tax.status == "REVERSE_CHARGE" and tax.tax_id is None:
        what = "is missing; under reverse charge the invoice must name the customer's tax id"
        raise FieldProblem(inner.at("taxId"), what)
    return tax


def _written_tax(tax: TaxStatus) -> dict[str, Any]:
    return without_none({"status": tax.status, "taxId": tax.tax_id, "country": tax.country})
