"""Taking money from a customer. Put here: what is asked of a payment provider, and what it says. Keep out: providers (providers/)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

SUCCEEDED, PENDING, FAILED = "SUCCEEDED", "PENDING", "FAILED"


@dataclass(frozen=True, slots=True)
class Charge:
    """Money to be taken. reference: our own name of it; the same one is taken once. amount: in whole minor units."""

    reference: str
    tenant_id: str
    customer_id: str
    amount: Decimal
    currency: str
    description: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """SUCCEEDED: the money is there. PENDING: it is on its way, and will be confirmed. FAILED: it is not coming, with the reason.
    reference: the provider's own name of the payment."""

    status: str
    reference: str | None = None
    reason: str | None = None


Collect = Callable[[Charge], Outcome]
