"""Payments of invoices. Put here: reading one made by hand, collecting one through a provider. Keep out: talking to a provider
(providers.payments), what a payment does to its invoice (repositories.invoice_states)."""

from __future__ import annotations

from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields
from domain.money import unpadded
from storage.repositories.invoice_states import Payment


def read_payment(fields: Fields) -> Payment | None:
    """None: all that is left. Raises FieldProblem."""
    amount = fields.price("amount")
    reference = fields.maybe_text("reference")
    fields.done()
    if amount is None and reference is None:
        return None
    if amount is not None and (amount == 0 or amount != unpadded(amount).quantize(Decimal("0.0001"))):
        raise FieldProblem("amount", f"{amount} cannot be paid; say an amount above 0 in whole minor units")
    return Payment(amount, reference=reference)
