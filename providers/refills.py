"""Who collects the refills of wallets. Put here: what each must do, and the one that is built in. Keep out: when to ask
(storage.services), payments of invoices (payments.py)."""

from __future__ import annotations

from typing import Protocol

from domain.collection import PENDING, Charge, Outcome


class Refills(Protocol):
    """Takes money from customers. Asked twice with one reference, it takes the money once and answers the same."""

    def collect(self, charge: Charge) -> Outcome:
        """Take the money, or begin to. Raises TransientFailure if the provider cannot be reached."""
        ...


class Manual:
    """Somebody collects the money by hand and confirms it: every charge is pending until then."""

    def collect(self, charge: Charge) -> Outcome:
        return Outcome(PENDING, f"manual:{charge.reference}")
