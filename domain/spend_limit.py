"""Limits in money of one subscription. Put here: what one is, how it is read and written. Keep out: limits in units
(usage_limits.py), what a plan's least and greatest spend are, cutting lines (transforms.spend_limits)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain.catalog.fields import Fields, required
from domain.quantity import plain
from domain.usage_limits import BEHAVIORS


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """What usage of all units may cost in a billing period, in the currency of the plan's prices, before discounts and tax.
    behavior: what becomes of usage beyond it: CHARGE bills it, BLOCK and IGNORE do not."""

    amount: Decimal
    behavior: str = "BLOCK"

    @property
    def hard(self) -> Decimal | None:
        """What is billed at most; None: all is."""
        return None if self.behavior == "CHARGE" else self.amount


def read_spend_limit(fields: Fields) -> SpendLimit | None:
    """`spendLimit` of a subscription: `{amount, ovBehavior}`; None where it is absent. Raises FieldProblem."""
    name, sent = fields.raw("spendLimit")
    if sent is None:
        return None
    inner = Fields(sent, fields.at(name))
    limit = SpendLimit(
        amount=required(inner, "amount", inner.price("amount")),
        behavior=inner.choice("ovBehavior", BEHAVIORS, "BLOCK"),
    )
    inner.done()
    return limit


def written_spend_limit(limit: SpendLimit | None) -> dict[str, Any] | None:
    """As JSON, as `read_spend_limit` reads it back; the amount is text."""
    return None if limit is None else {"amount": plain(limit.amount), "ovBehavior": limit.behavior}


def stored_spend_limit(content: Mapping[str, Any] | None) -> SpendLimit | None:
    """What `written_spend_limit` was made from."""
    return None if content is None else SpendLimit(Decimal(content["amount"]), content["ovBehavior"])
