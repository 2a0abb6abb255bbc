"""Organization settings. Put here: their shape, what they are by default, reading and writing them. Keep out: storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.catalog.details import (
    currency,
    email,
    link,
    read_address,
    time_zone,
    without_none,
    written_address,
)
from domain.catalog.fields import FieldProblem, Fields, required
from domain.catalog.issuers import color

THEME_MODES = ("LIGHT", "DARK", "SYSTEM")
COST_UNITS = (
    "INPUT_TOKEN", "OUTPUT_TOKEN", "REASONING_TOKEN", "CACHED_TOKEN", "REQUEST", "SECOND", "IMAGE",
)  # fmt: skip
RETENTION = {
    "usageEvents": (90, 36500),
    "auditLog": (365, 36500),
    "invoices": (365, 36500),
    "piiAfterErasure": (0, 365),
}
"""Fewest and most days something is kept. Usage must outlive the 90 days in which late events may still arrive."""
NEXT_INVOICE, CREDIT_NOTE = "NEXT_INVOICE", "CREDIT_NOTE"
CREDITS = (NEXT_INVOICE, CREDIT_NOTE)
"""Where a credit goes that the next invoice has no room for: the one after it, or back on the invoice it corrects."""
MOST_RATES = 500


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the tenant itself says: customers have it unless they say otherwise."""

    currency: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class CostRate:
    """What an AI provider charges per unit. model None: all its models."""

    provider: str
    model: str | None
    unit: str
    rate: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """As read: the wire's form of each group, the currency and time zone they set, rates as exact decimals."""

    currency: str
    time_zone: str
    billing_anchor: int
    profile: Mapping[str, Any]
    rates: tuple[CostRate, ...]
    retention: Mapping[str, int]
    theme: Mapping[str, Any]
    terms: Mapping[str, Any]
    corrections: Mapping[str, Any] = field(default_factory=dict)


def read_settings(fields: Fields, defaults: Defaults) -> OrganizationSettings:
    """Raises FieldProblem."""
    code = currency(fields, "defaultCurrency", defaults.currency)
    settings = OrganizationSettings(
        currency=code,
        time_zone=time_zone(fields, defaults.time_zone),
        billing_anchor=fields.whole("billingAnchor", 1, 31) or 1,
        profile=_group(fields, "profile", _profile),
        rates=tuple(_rates(fields, code)),
        retention=_group(fields, "retentionPolicies", _retention),
        theme=_group(fields, "theme", _theme),
        terms=_group(fields, "terms", _terms),
        corrections=_group(fields, "corrections", _corrections),
    )
    fields.done()
    return settings


def written_settings(settings: OrganizationSettings) -> dict[str, Any]:
    """As it is read; decimals as exact text."""
    rates = [
        without_none(
            {
                "provider": rate.provider,
                "model": rate.model,
                "unit": rate.unit,
                "rate": format(rate.rate, "f"),
                "currency": rate.currency,
            }
        )
        for rate in settings.rates
    ]
    return {
        "profile": dict(settings.profile),
        "defaultCurrency": settings.currency,
        "timeZone": settings.time_zone,
        "billingAnchor": settings.billing_anchor,
        "aiProviderRates": rates,
        "retentionPolicies": dict(settings.retention),
        "theme": dict(settings.theme),
        "terms": dict(settings.terms),
        "corrections": dict(settings.corrections),
    }


def _group(fields: Fields, name: str, read: Any) -> dict[str, Any]:
    _, sent = fields.raw(name)
    if sent is None:
        return {}
    inner = Fields(sent, fields.at(name))
    found = without_none(read(inner))
    inner.done()
    return found


def _profile(fields: Fields) -> dict[str, Any]:
    return {
        "displayName": fields.maybe_text("displayName"),
        "legalName": fields.maybe_text("legalName"),
        "website": link(fields, "website"),
        "supportEmail": email(fields, "supportEmail"),
        "logoUrl": link(fields, "logoUrl"),
        "address": written_address(read_address(fields)),
    }


def _retention(fields: Fields) -> dict[str, Any]:
    days = {name: f"{name}Days" for name in RETENTION}
    return {days[name]: fields.whole(days[name], *bounds) for name, bounds in RETENTION.items()}


def _theme(fields: Fields) -> dict[str, Any]:
    return {
        "mode": None if fields.raw("mode")[1] is None else fields.choice("mode", THEME_MODES),
        "primaryColor": color(fields, "primaryColor"),
        "accentColor": color(fields, "accentColor"),
        "logoUrl": link(fields, "logoUrl"),
    }


def _terms(fields: Fields) -> dict[str, Any]:
    return {
        "paymentDueDays": fields.whole("paymentDueDays", 0, 365),
        "invoiceGraceDays": fields.whole("invoiceGraceDays", 0, 60),
        "autoFinalize": None if fields.raw("autoFinalize")[1] is None else fields.flag("autoFinalize"),
        "termsUrl": link(fields, "termsUrl"),
        "privacyUrl": link(fields, "privacyUrl"),
        "invoiceNote": fields.maybe_text("invoiceNote"),
    }


def _corrections(fields: Fields) -> dict[str, Any]:
    """autoApprove: what a billing run finds different from issued invoices is posted without anybody looking at it. credits: where
    a credit goes that the next invoice has no room for."""
    return {
        "autoApprove": fields.flag("autoApprove") if fields.has("autoApprove") else None,
        "credits": fields.choice("credits", CREDITS) if fields.has("credits") else None,
    }


def _rates(fields: Fields, default_currency: str) -> list[CostRate]:
    items = fields.items("aiProviderRates", "cogsRates")
    if len(items) > MOST_RATES:
        raise FieldProblem(
            fields.at("aiProviderRates"), f"holds {len(items)} rates; at most {MOST_RATES} are kept"
        )
    found: dict[tuple[str, str | None, str], CostRate] = {}
    for path, item in items:
        inner = Fields(item, path)
        rate = CostRate(
            provider=inner.text("provider"),
            model=inner.maybe_text("model"),
            unit=inner.choice("unit", COST_UNITS),
            rate=required(inner, "rate", inner.price("rate")),
            currency=currency(inner, "currency", default_currency),
        )
        inner.done()
        key = (rate.provider.lower(), rate.model, rate.unit)
        if key in found:
            raise FieldProblem(
                path, "says the cost of the same provider, model and unit again; write it once"
            )
        found[key] = rate
    return list(found.values())
