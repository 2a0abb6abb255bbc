"""Offerings. Put here: what a customer can subscribe to, and what it lets them do. Keep out: prices, decisions (edge)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.access import Feature
from domain.catalog.fields import FieldProblem, Fields, TermsNotSupported, required
from domain.money import EXPONENTS
from domain.quantity import plain

TYPES = ("STANDALONE", "BUNDLE", "ADDON")
STATUSES = ("DRAFT", "ACTIVE", "ARCHIVED")
BILLING_MODES = ("POSTPAID", "PREPAID", "HYBRID")
FEATURE_TYPES = ("BOOLEAN", "STATIC", "METERED")
FX_STRATEGIES = ("LOCK_AT_SUBSCRIPTION", "LIVE_RATE")
ESCROW_BEHAVIORS = ("BLOCK", "ALERT")
RESETS = ("BILLING_PERIOD", "DAY", "MONTH", "NEVER")
LEGAL_MOVES = {"DRAFT": ("ACTIVE", "ARCHIVED"), "ACTIVE": ("ARCHIVED",), "ARCHIVED": ()}


@dataclass(frozen=True, slots=True)
class Escrow:
    """What happens when the balance of a prepaid customer runs low: below the threshold an alert, at zero `behavior`."""

    low_balance_threshold: Decimal | None = None
    behavior: str = "BLOCK"


@dataclass(frozen=True, slots=True)
class Offering:
    """A package over a rate plan, a BUNDLE over several, with the features it grants. The currency is the plans'."""

    code: str
    name: str
    plan: str
    currency: str
    type: str = "STANDALONE"
    status: str = "ACTIVE"
    billing_mode: str = "POSTPAID"
    trial_days: int = 0
    description: str | None = None
    features: tuple[Feature, ...] = ()
    further_plans: tuple[str, ...] = ()
    escrow: Escrow | None = None
    fx_strategy: str = "LOCK_AT_SUBSCRIPTION"

    @property
    def plans(self) -> tuple[str, ...]:
        """All its rate plans, the primary one first."""
        return (self.plan, *self.further_plans)


def read_offering(fields: Fields, default_currency: str) -> Offering:
    """Raises FieldProblem, TermsNotSupported."""
    code = fields.key("code", "key")
    primary = fields.key("ratePlan", "primaryRatePlan", "primaryRatePlanId")
    kind = fields.choice("type", TYPES, "STANDALONE")
    offering = Offering(
        code=code,
        name=fields.maybe_text("name") or code,
        plan=primary,
        currency=fields.choice("currency", EXPONENTS, default_currency),
        type=kind,
        status=fields.choice("status", STATUSES, "ACTIVE"),
        billing_mode=fields.choice("billingMode", BILLING_MODES, "POSTPAID"),
        trial_days=fields.whole("trialDays", 0, 730) or 0,
        description=fields.maybe_text("description"),
        features=tuple(
            _feature(Fields(item, path)) for path, item in fields.items("entitlements", "features")
        ),
        further_plans=_further_plans(fields, kind, primary),
        escrow=_escrow(fields),
        fx_strategy=fields.choice("fxStrategy", FX_STRATEGIES, "LOCK_AT_SUBSCRIPTION"),
    )
    fields.done()
    keys = [feature.key for feature in offering.features]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise FieldProblem(
                f"{fields.at('entitlements')}[{index}].feature", f"{key!r} is granted twice; grant it once"
            )
    return offering


def _further_plans(fields: Fields, kind: str, primary: str) -> tuple[str, ...]:
    """The plans of a BUNDLE besides the primary one, which the list may name too."""
    name = fields.raw("ratePlanIds", "ratePlans")[0]
    found = fields.keys(name)
    for index, plan in enumerate(found):
        if plan in found[:index]:
            raise FieldProblem(f"{fields.at(name)}[{index}]", f"{plan!r} is named twice; name it once")
    further = tuple(plan for plan in found if plan != primary)
    if further and kind != "BUNDLE":
        raise FieldProblem(fields.at(name), f"only a BUNDLE has several rate plans; this is a {kind}")
    return further


def _escrow(fields: Fields) -> Escrow | None:
    name, sent = fields.raw("escrowConfig", "escrow")
    if sent is None:
        return None
    inner = Fields(sent, fields.at(name))
    escrow = Escrow(
        inner.price("lowBalanceThreshold"), inner.choice("behavior", ESCROW_BEHAVIORS, "BLOCK", "behaviour")
    )
    inner.done()
    return escrow


def _reset(fields: Fields) -> None:
    """Limits of a feature start anew with each billing period; other resets are known, but not counted yet."""
    reset = fields.choice("reset", RESETS, "BILLING_PERIOD")
    if reset != "BILLING_PERIOD":
        raise TermsNotSupported(fields.at("reset"), f"a limit that resets by {reset}")


def _hard(fields: Fields) -> bool:
    if fields.has("limitType"):
        return fields.choice("limitType", ("HARD", "SOFT")) == "HARD"
    return fields.flag("hard", True)


def _feature(fields: Fields) -> Feature:
    """The type follows from what is written: `unit` is METERED, `value` STATIC, otherwise BOOLEAN."""
    guess = "METERED" if fields.has("unit", "metricId") else "STATIC" if fields.has("value") else "BOOLEAN"
    kind = fields.choice("type", FEATURE_TYPES, guess)
    unit = fields.key("unit", "metricId") if fields.has("unit", "metricId") else None
    limit = fields.quantity("limit", "quota")
    value = fields.maybe_text("value")
    if kind == "METERED":
        required(fields, "unit", unit)
    elif unit is not None or limit is not None:
        raise FieldProblem(
            fields.at("unit" if unit else "limit"), f"means nothing for a {kind} feature; make it METERED"
        )
    if kind == "STATIC":
        required(fields, "value", value)
    feature = Feature(
        key=fields.key("feature", "key", "featureKey"),
        type=kind,
        enabled=fields.flag("enabled", True),
        value=value,
        unit=unit,
        limit=None if limit is None else plain(limit),
        hard=_hard(fields),
    )
    _reset(fields)
    fields.done()
    return feature


def offering_document(offering: Offering) -> dict[str, Any]:
    """The offering in the wire's words, as `read_offering` reads it back; decimals are text."""
    escrow = offering.escrow
    return {
        "code": offering.code,
        "name": offering.name,
        "description": offering.description,
        "type": offering.type,
        "status": offering.status,
        "primaryRatePlanId": offering.plan,
        "ratePlanIds": list(offering.plans),
        "billingMode": offering.billing_mode,
        "currency": offering.currency,
        "trialDays": offering.trial_days,
        "escrowConfig": escrow and escrow_content(escrow),
        "fxStrategy": offering.fx_strategy,
        "entitlements": [_feature_document(feature) for feature in offering.features],
    }


def escrow_content(escrow: Escrow) -> dict[str, Any]:
    """As JSON; decimals are text."""
    threshold = escrow.low_balance_threshold
    return {
        "lowBalanceThreshold": None if threshold is None else plain(threshold),
        "behavior": escrow.behavior,
    }


def escrow_of(content: dict[str, Any] | None) -> Escrow | None:
    """What `escrow_content` was made from."""
    if content is None:
        return None
    threshold = content["lowBalanceThreshold"]
    return Escrow(None if threshold is None else Decimal(threshold), content["behavior"])


def _feature_document(feature: Feature) -> dict[str, Any]:
    document: dict[str, Any] = {"feature": feature.key, "type": feature.type, "enabled": feature.enabled}
    if feature.type == "STATIC":
        document["value"] = feature.value
    if feature.type == "METERED":
        document |= {
            "metricId": feature.unit,
            "limit": feature.limit,
            "hard": feature.hard,
            "reset": "BILLING_PERIOD",
        }
    return document
