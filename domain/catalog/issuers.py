"""Billing entities. Put here: their shape, reading and writing one. Keep out: invoices, sequences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.catalog.details import (
    Address,
    currency,
    link,
    maybe_currency,
    read_address,
    time_zone,
    without_none,
    written_address,
)
from domain.catalog.fields import FieldProblem, Fields, shown
from domain.invoice_number import DEFAULT_FORMAT, format_problem, prefix_problem
from domain.money import ROUNDING_MODES

_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,32})?")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True, slots=True)
class Branding:
    """How an issuer's invoices look. primary_color: #RRGGBB. footer: the small print."""

    logo_url: str | None = None
    primary_color: str | None = None
    footer: str | None = None


@dataclass(frozen=True, slots=True)
class BillingEntity:
    """A legal entity that issues invoices. registered_in: where it collects tax, such as DE or US-CA; none: everywhere. code, base_currency and (once used) invoice_prefix never change."""

    code: str = "default"
    name: str = "Default"
    invoice_prefix: str = "INV"
    rounding: str = "HALF_EVEN"
    legal_name: str | None = None
    base_currency: str = "USD"
    reporting_currency: str | None = None
    time_zone: str = "UTC"
    number_format: str = DEFAULT_FORMAT
    tax_registration: str | None = None
    registered_in: tuple[str, ...] = ()
    address: Address | None = None
    branding: Branding = field(default_factory=Branding)


def read_entity(fields: Fields, base_currency: str, zone: str, prefix: str = "INV") -> BillingEntity:
    """base_currency, zone, prefix: what it has unless it says otherwise. Raises FieldProblem."""
    code = fields.key("code", "entityCode")
    entity = BillingEntity(
        code=code,
        name=fields.maybe_text("name", "displayName") or code,
        invoice_prefix=_checked(fields, "invoicePrefix", prefix),
        rounding=fields.choice("rounding", tuple(ROUNDING_MODES), "HALF_EVEN", "roundingMode"),
        legal_name=fields.maybe_text("legalName"),
        base_currency=currency(fields, "baseCurrency", base_currency),
        reporting_currency=maybe_currency(fields, "reportingCurrency"),
        time_zone=time_zone(fields, zone, "timeZone", "billingTimezone"),
        number_format=_checked(fields, "invoiceNumberFormat", DEFAULT_FORMAT),
        **_details(fields),
    )
    fields.done()
    return entity


def read_details(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Tax registration, where it is registered, address and branding out of the part of a written entity that holds them. Raises FieldProblem."""
    return _details(Fields(sent, ""))


def written_entity(entity: BillingEntity) -> dict[str, Any]:
    """As it is read; fields without a value are left out."""
    branding = without_none(
        {
            "logoUrl": entity.branding.logo_url,
            "primaryColor": entity.branding.primary_color,
            "footer": entity.branding.footer,
        }
    )
    return without_none(
        {
            "code": entity.code,
            "displayName": entity.name,
            "legalName": entity.legal_name,
            "baseCurrency": entity.base_currency,
            "reportingCurrency": entity.reporting_currency,
            "timeZone": entity.time_zone,
            "invoicePrefix": entity.invoice_prefix,
            "invoiceNumberFormat": entity.number_format,
            "roundingMode": entity.rounding,
            "taxRegistration": entity.tax_registration,
            "registeredIn": list(entity.registered_in) or None,
            "address": written_address(entity.address),
            "branding": branding or None,
        }
    )


ENTITY_ALIASES = {
    "entityCode": "code",
    "name": "displayName",
    "rounding": "roundingMode",
    "billingTimezone": "timeZone",
}


def _checked(fields: Fields, name: str, default: str) -> str:
    found = fields.maybe_text(name) or default
    problem = prefix_problem(found) if name == "invoicePrefix" else format_problem(found)
    if problem is not None:
        raise FieldProblem(fields.at(name), problem)
    return found


def _details(fields: Fields) -> dict[str, Any]:
    return {
        "tax_registration": fields.maybe_text("taxRegistration"),
        "registered_in": _jurisdictions(fields),
        "address": read_address(fields),
        "branding": _branding(fields),
    }


def _jurisdictions(fields: Fields) -> tuple[str, ...]:
    found = tuple(name.upper() for name in fields.keys("registeredIn"))
    for path, name in zip((path for path, _ in fields.items("registeredIn")), found, strict=True):
        if not _JURISDICTION.fullmatch(name):
            raise FieldProblem(
                path, f"{shown(name)} is no jurisdiction; write a country, or one and its region: DE, US-CA"
            )
    return tuple(dict.fromkeys(found))


def _branding(fields: Fields) -> Branding:
    _, sent = fields.raw("branding")
    if sent is None:
        return Branding()
    inner = Fields(sent, fields.at("branding"))
    branding = Branding(link(inner, "logoUrl"), color(inner, "primaryColor"), inner.maybe_text("footer"))
    inner.done()
    return branding


def color(fields: Fields, name: str) -> str | None:
    found = fields.maybe_text(name)
    if found is not None and not _COLOR.fullmatch(found):
        raise FieldProblem(fields.at(name), f"{shown(found)} is not a color; write it like '#1A2B3C'")
    return found
