"""How tenants are paid. Put here: reading payment gateways and payment methods. Keep out: asking a gateway, secrets at rest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.money import EXPONENTS

STRIPE, MANUAL = "STRIPE", "MANUAL"
METHOD_TYPES = ("CARD", "BANK_ACCOUNT", "SEPA_DEBIT", "OTHER")
_CARD_NUMBER = re.compile(r"(?:[0-9][ -]?){12,18}[0-9]")
_LAST_FOUR = re.compile(r"[0-9]{4}")


@dataclass(frozen=True, slots=True)
class PaymentGateway:
    """A service that takes payments. api_key, webhook_secret: in the clear, to be sealed. supported_currencies: empty is all."""

    gateway_type: str
    display_name: str
    api_key: str | None
    webhook_secret: str | None
    public_key: str | None
    primary: bool | None
    active: bool
    sandbox_mode: bool
    supported_currencies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A customer's means of payment. gateway_token: what the gateway calls it; never a card number."""

    customer: str
    gateway_token: str
    method_type: str
    gateway_customer_id: str | None
    display_name: str | None
    last_four: str | None
    card_brand: str | None
    expiry_month: int | None
    expiry_year: int | None
    set_as_default: bool


def read_gateway(fields: Fields) -> PaymentGateway:
    """Raises FieldProblem."""
    kind = fields.choice("gatewayType", (STRIPE, MANUAL))
    gateway = PaymentGateway(
        gateway_type=kind,
        display_name=fields.maybe_text("displayName") or kind.capitalize(),
        api_key=fields.maybe_text("apiKey"),
        webhook_secret=fields.maybe_text("webhookSecret"),
        public_key=fields.maybe_text("publicKey"),
        primary=None if fields.raw("primary")[1] is None else fields.flag("primary"),
        active=fields.flag("active", True),
        sandbox_mode=fields.flag("sandboxMode"),
        supported_currencies=_currencies(fields),
    )
    if kind == STRIPE:
        required(fields, "apiKey", gateway.api_key)
    elif gateway.api_key is not None or gateway.webhook_secret is not None:
        name = "apiKey" if gateway.api_key is not None else "webhookSecret"
        raise FieldProblem(fields.at(name), f"goes with STRIPE; leave it out of {kind}")
    fields.done()
    return gateway


def read_payment_method(fields: Fields) -> PaymentMethod:
    """Raises FieldProblem."""
    method = PaymentMethod(
        customer=fields.key("customerId", "customer"),
        gateway_token=_token(fields),
        method_type=fields.choice("methodType", METHOD_TYPES),
        gateway_customer_id=fields.maybe_text("gatewayCustomerId"),
        display_name=fields.maybe_text("displayName"),
        last_four=fields.maybe_text("lastFour"),
        card_brand=fields.maybe_text("cardBrand"),
        expiry_month=fields.whole("expiryMonth", 1, 12),
        expiry_year=fields.whole("expiryYear", 2000, 2100),
        set_as_default=fields.flag("setAsDefault"),
    )
    if method.last_four is not None and not _LAST_FOUR.fullmatch(method.last_four):
        raise FieldProblem(fields.at("lastFour"), f"{shown(method.last_four)} is not four digits")
    if (method.expiry_month is None) != (method.expiry_year is None):
        raise FieldProblem(fields.at("expiryYear"), "goes with expiryMonth; send both or neither")
    fields.done()
    return method


def _token(fields: Fields) -> str:
    token = fields.text("gatewayToken")
    if _CARD_NUMBER.fullmatch(token):
        raise FieldProblem(
            fields.at("gatewayToken"), "looks like a card number; send the gateway's token for it"
        )
    return token


def _currencies(fields: Fields) -> tuple[str, ...]:
    found = []
    for path, item in fields.items("supportedCurrencies"):
        if not isinstance(item, str) or item not in EXPONENTS:
            raise FieldProblem(path, f"{shown(item)} is no ISO 4217 code; write one like USD")
        found.append(item)
    return tuple(dict.fromkeys(found))
