"""Tenants, issuers, customers and keys as written in a catalog. Put here: their shapes. Keep out: secrets, subscriptions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.catalog.fields import FieldProblem, Fields
from domain.money import EXPONENTS, ROUNDING_MODES
from domain.period import UnknownTimeZone, zone

PLANS = ("STANDARD", "BUSINESS", "ENTERPRISE")
ENVIRONMENTS = ("LIVE", "TEST")
_NO_TAX_YET = {"tax": "tax", "taxCode": "tax", "coupons": "a coupon"}


@dataclass(frozen=True, slots=True)
class BillingEntity:
    """A legal entity that issues invoices."""

    code: str = "default"
    name: str = "Default"
    invoice_prefix: str = "INV"
    rounding: str = "HALF_EVEN"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A vendor that sells. Currency and time zone are what its customers have unless they say otherwise."""

    id: str
    name: str
    currency: str = "USD"
    time_zone: str = "UTC"
    entity: BillingEntity = BillingEntity()


@dataclass(frozen=True, slots=True)
class Customer:
    """The tenant's customer. Billing periods are cut in `time_zone`."""

    id: str
    name: str
    currency: str
    time_zone: str
    email: str | None = None
    plan: str = "STANDARD"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key to be issued; known by its name, which is unique in the tenant. customer None: the whole tenant's."""

    name: str
    customer: str | None = None
    environment: str = "live"


def read_tenant(fields: Fields) -> Tenant:
    """Raises FieldProblem."""
    key = fields.key("id")
    entity = fields.raw("billingEntity")[1]
    tenant = Tenant(
        id=key,
        name=fields.maybe_text("name") or key,
        currency=fields.choice("currency", EXPONENTS, "USD"),
        time_zone=_time_zone(fields, "UTC"),
        entity=BillingEntity() if entity is None else _entity(Fields(entity, fields.at("billingEntity"))),
    )
    fields.done()
    return tenant


def read_customer(fields: Fields, tenant: Tenant) -> Customer:
    """Raises FieldProblem, TermsNotSupported."""
    fields.refuse(_NO_TAX_YET)
    key = fields.key("id")
    customer = Customer(
        id=key,
        name=fields.maybe_text("name") or key,
        currency=fields.choice("currency", EXPONENTS, tenant.currency, "defaultCurrency"),
        time_zone=_time_zone(fields, tenant.time_zone),
        email=fields.maybe_text("email"),
        plan=fields.choice("plan", PLANS, "STANDARD"),
    )
    fields.done()
    if customer.email is not None and "@" not in customer.email:
        raise FieldProblem(fields.at("email"), f"{customer.email!r} is not an e-mail address")
    return customer


def read_key(fields: Fields) -> Key:
    """Raises FieldProblem."""
    key = Key(
        name=fields.text("name"),
        customer=fields.key("customer", "customerId") if fields.has("customer", "customerId") else None,
        environment=fields.choice("environment", ENVIRONMENTS, "LIVE").lower(),
    )
    fields.done()
    return key


def _entity(fields: Fields) -> BillingEntity:
    code = fields.key("code")
    entity = BillingEntity(
        code=code,
        name=fields.maybe_text("name") or code,
        invoice_prefix=fields.key("invoicePrefix") if fields.has("invoicePrefix") else "INV",
        rounding=fields.choice("rounding", tuple(ROUNDING_MODES), "HALF_EVEN"),
    )
    fields.done()
    return entity


def _time_zone(fields: Fields, default: str) -> str:
    name = fields.maybe_text("timeZone") or default
    try:
        zone(name)
    except UnknownTimeZone as error:
        raise FieldProblem(fields.at("timeZone"), str(error)) from None
    return name
