"""Payments through Stripe, with its own SDK. Put here: orders as payment intents. Keep out: everything Stripe does not know about."""

from __future__ import annotations

from typing import Any

import stripe

from domain.money import currency_exponent
from providers.payments import (
    FAILED,
    PENDING,
    SUCCEEDED,
    Order,
    Outcome,
    ProviderRefused,
    ProviderUnavailable,
)

_STATUSES = {
    "succeeded": SUCCEEDED,
    "processing": PENDING,
    "requires_action": PENDING,
    "requires_capture": PENDING,
}
_WHOLE_HUNDREDS = frozenset({"ISK", "UGX"})
"""Currencies Stripe wants in hundredths although they have none."""


class StripePayments:
    """One account at Stripe."""

    name = "STRIPE"

    def __init__(self, api_key: str, *, base_url: str | None = None) -> None:
        addresses: Any = {"api": base_url} if base_url else None
        self._client = stripe.StripeClient(api_key, base_addresses=addresses, max_network_retries=0)

    def charge(self, order: Order) -> Outcome:
        """A confirmed payment intent, off session."""
        params: Any = {
            "amount": _minor_units(order),
            "currency": order.currency.lower(),
            "payment_method": order.token,
            "confirm": True,
            "off_session": True,
            "description": order.description,
        }
        if order.customer:
            params["customer"] = order.customer
        try:
            intent = self._client.v1.payment_intents.create(params, {"idempotency_key": order.key})
        except stripe.CardError as error:
            return Outcome(FAILED, _intent_of(error), _declined(error))
        except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
            raise ProviderUnavailable(self.name, _said(error)) from None
        except stripe.StripeError as error:
            raise ProviderRefused(self.name, _said(error)) from None
        status = _STATUSES.get(intent.status, FAILED)
        return Outcome(status, intent.id, None if status != FAILED else intent.status)


def _minor_units(order: Order) -> int:
    exponent = 2 if order.currency in _WHOLE_HUNDREDS else currency_exponent(order.currency)
    return int(order.amount.scaleb(exponent))


def _intent_of(error: stripe.CardError) -> str | None:
    intent = getattr(error.error, "payment_intent", None)
    return getattr(intent, "id", None)


def _declined(error: stripe.CardError) -> str:
    return getattr(error.error, "decline_code", None) or error.code or "card_declined"


def _said(error: stripe.StripeError) -> str:
    return str(error.user_message or error) or type(error).__name__
