"""Keys that end with what they are for. Put here: revoking them when a subscription or a customer ends. Keep out: keys asked
about one by one (api_keys.py).

Call it in the transaction that ends the subscription or archives the customer, after its state was written.
"""

from __future__ import annotations

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import aliased

from domain.subscription_states import TERMINAL
from storage.repositories.keys import PENDING_REVOCATION, REVOKED, ApiKeys
from storage.tables.customers import SubscriptionRow
from storage.tables.keys import ApiKeyRow, KeySubscriptionRow
from storage.tenancy import Tx


def revoke_keys_of(tx: Tx, subscription_id: str, reason: str) -> list[str]:
    """Revoke the keys that are for this subscription and for no other live one. Returns their ids.

    The subscription itself counts as ended, whatever its row says yet.
    """
    tx.session.flush()
    other = aliased(KeySubscriptionRow)
    is_kept = exists(
        select(1)
        .select_from(other)
        .join(
            SubscriptionRow,
            (SubscriptionRow.tenant_id == other.tenant_id) & (SubscriptionRow.id == other.subscription_id),
        )
        .where(
            other.tenant_id == ApiKeyRow.tenant_id,
            other.key_id == ApiKeyRow.id,
            other.subscription_id != subscription_id,
            SubscriptionRow.status.not_in(list(TERMINAL)),
            or_(SubscriptionRow.ends_at.is_(None), SubscriptionRow.ends_at > tx.at),
        )
    )
    bound = select(KeySubscriptionRow.key_id).where(
        KeySubscriptionRow.tenant_id == tx.tenant_id, KeySubscriptionRow.subscription_id == subscription_id
    )
    return _revoke(tx, reason, ApiKeyRow.id.in_(bound), ~is_kept)


def revoke_keys_of_customer(tx: Tx, customer_id: str, reason: str) -> list[str]:
    """Revoke every key of this customer. Returns their ids."""
    return _revoke(tx, reason, ApiKeyRow.customer_id == customer_id)


def revoke_row(tx: Tx, row: ApiKeyRow, reason: str | None) -> None:
    """Revoke one key at once; recorded."""
    before = row.status
    row.status = REVOKED
    row.revoked_at = row.updated_at = tx.at
    row.revoke_at, row.revoke_reason = None, reason
    row.revision += 1
    tx.record("API_KEY_REVOKED", "api_key", row.id, {"status": {"before": before, "after": REVOKED}}, reason)


def _revoke(tx: Tx, reason: str, *conditions: object) -> list[str]:
    keys = ApiKeys(tx.session, tx.tenant_id)
    open_ones = ApiKeyRow.status.in_(("ACTIVE", "SUSPENDED", PENDING_REVOCATION))
    query = keys.select(open_ones, *conditions).order_by(ApiKeyRow.id).with_for_update()  # type: ignore[arg-type]
    rows = list(tx.session.scalars(query))
    for row in rows:
        revoke_row(tx, row, reason)
    tx.session.flush()
    return [row.id for row in rows]
