"""Offerings. Put here: what a customer can subscribe to, and what it lets them do. Keep out: prices, decisions (edge)."""

from __future__ import annotations

from dataclasses import dataclass

from domain.access import Feature
from domain.catalog.fields import FieldProblem, Fields, TermsNotSupported, required
from domain.money import EXPONENTS
from domain.quantity import plain

TYPES = ("STANDALONE", "BUNDLE", "ADDON")
STATUSES = ("DRAFT", "ACTIVE", "ARCHIVED")
BILLING_MODES = ("POSTPAID", "PREPAID", "HYBRID")
FEATURE_TYPES = ("BOOLEAN", "STATIC", "METERED")


@dataclass(frozen=True, slots=True)
class Offering:
    """A package over one rate plan, with the features it grants. The currency is the plan's."""

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


def read_offering(fields: Fields, default_currency: str) -> Offering:
    """Raises FieldProblem, TermsNotSupported."""
    mode = fields.choice("billingMode", BILLING_MODES, "POSTPAID")
    if mode != "POSTPAID":
        raise TermsNotSupported(fields.at("billingMode"), f"{mode} billing")
    code = fields.key("code", "key")
    offering = Offering(
        code=code,
        name=fields.maybe_text("name") or code,
        plan=fields.key("ratePlan", "primaryRatePlan", "primaryRatePlanId"),
        currency=fields.choice("currency", EXPONENTS, default_currency),
        type=fields.choice("type", TYPES, "STANDALONE"),
        status=fields.choice("status", STATUSES, "ACTIVE"),
        billing_mode=mode,
        trial_days=fields.whole("trialDays", 0, 730) or 0,
        description=fields.maybe_text("description"),
        features=tuple(
            _feature(Fields(item, path)) for path, item in fields.items("entitlements", "features")
        ),
    )
    fields.done()
    keys = [feature.key for feature in offering.features]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise FieldProblem(
                f"{fields.path}.entitlements[{index}].feature", f"{key!r} is granted twice; grant it once"
            )
    return offering


def _feature(fields: Fields) -> Feature:
    """The type follows from what is written: `unit` is METERED, `value` STATIC, otherwise BOOLEAN."""
    guess = "METERED" if fields.has("unit") else "STATIC" if fields.has("value") else "BOOLEAN"
    kind = fields.choice("type", FEATURE_TYPES, guess)
    unit = fields.key("unit") if fields.has("unit") else None
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
        hard=fields.flag("hard", True),
    )
    fields.done()
    return feature
