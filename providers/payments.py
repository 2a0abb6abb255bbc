"""Who takes payments. Put here: the protocol, and the manual provider. Keep out: what a payment does to an invoice, secrets at rest,
any one company's SDK (providers/stripe_payments.py)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from domain.errors import PermanentFailure, TransientFailure

SUCCEEDED, PENDING, FAILED = "SUCCEEDED", "PENDING", "FAILED"


class ProviderUnavailable(TransientFailure):
    """The provider did not answer; nothing is known about the payment. The same order again is carried out once."""

    code = "PAYMENT_PROVIDER_UNAVAILABLE"

    def __init__(self, provider: str, why: str) -> None:
        super().__init__(f"{provider} could not be asked: {why}; try again, the customer is charged once")


class ProviderRefused(PermanentFailure):
    """The provider does not take orders of this tenant, such as for a wrong key."""

    code = "PAYMENT_PROVIDER_REFUSED"

    def __init__(self, provider: str, why: str) -> None:
        super().__init__(f"{provider} refused the order itself: {why}; check the gateway's keys")


class NoSuchProvider(PermanentFailure):
    """No provider of this kind can be used here."""

    code = "NO_SUCH_PAYMENT_PROVIDER"

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"payments through {kind} are not possible: {why}")


@dataclass(frozen=True, slots=True)
class Order:
    """Money to be taken. amount: above 0, in whole minor units. token: the means of payment, as the provider calls it; customer:
    its owner there. key: the same key is carried out once, whatever happens in between."""

    amount: Decimal
    currency: str
    token: str
    customer: str | None
    key: str
    description: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. status: SUCCEEDED, PENDING (asks for the customer, or takes days) or FAILED. failure_code: of FAILED, as the
    provider says it."""

    status: str
    reference: str | None = None
    failure_code: str | None = None


class PaymentProvider(Protocol):
    """Takes payments for one tenant."""

    name: str

    def charge(self, order: Order) -> Outcome:
        """Take the money. A declined payment is an outcome, not an error. Raises ProviderUnavailable, ProviderRefused."""
        ...


class ManualPayments:
    """Money that arrives by itself, such as by bank transfer: an order waits until somebody notes that it came."""

    name = "MANUAL"

    def charge(self, order: Order) -> Outcome:
        return Outcome(PENDING, reference=order.key)


def provider_of(kind: str, api_key: str | None, *, base_url: str | None = None) -> PaymentProvider:
    """The provider of a gateway. base_url: where else it answers, for tests. Raises NoSuchProvider."""
    if kind == "MANUAL":
        return ManualPayments()
    if kind != "STRIPE":
        raise NoSuchProvider(kind, "use STRIPE or MANUAL")
    if not api_key:
        raise NoSuchProvider(kind, "the gateway has no apiKey")
    try:
        from providers.stripe_payments import StripePayments
    except ImportError:
        raise NoSuchProvider(kind, "its SDK is not installed; pip install 'aforo[stripe]'") from None
    return StripePayments(api_key, base_url=base_url)
