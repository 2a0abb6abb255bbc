"""The customer something is for. Put here: making sure there is one. Keep out: what is done with customers."""

from __future__ import annotations

from domain.errors import NotFound
from storage.tables.customers import CustomerRow
from storage.tenancy import Tx


class CustomerUnknown(NotFound):
    code = "CUSTOMER_NOT_FOUND"

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"there is no customer {customer_id}")


def known_customer(tx: Tx, customer_id: str) -> CustomerRow:
    """The customer, unless archived. Raises CustomerUnknown."""
    found = tx.session.get(CustomerRow, (tx.tenant_id, customer_id))
    if found is None or found.archived_at is not None:
        raise CustomerUnknown(customer_id)
    return found
