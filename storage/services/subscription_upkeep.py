"""What happens to subscriptions by itself. Put here: recording it when its time has come. Keep out: what that is
(domain.phases), who asks for it when (orchestration, services)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from domain.actor import SYSTEM
from domain.phases import Phase, to_come
from domain.subscription_states import TERMINAL, State
from storage.database import session_scope
from storage.repositories.subscriptions import EXPIRING_WITHIN, Subscriptions, agreement_of
from storage.services.key_revocation import revoke_keys_of
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import TenantRow
from storage.tenancy import Tx, tenant_tx


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a round did: subscriptions it moved on, and those it could not, with the reason."""

    moved: int
    stuck: dict[str, str]


def keep_up(engine: Engine, at: datetime) -> Upkeep:
    """Record everything that is due by `at`, of all tenants; a transaction each, so that one failure holds up nothing else."""
    moved, stuck = 0, {}
    for tenant_id, subscription_id in due(engine, at):
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                row = Subscriptions(tx.session, tx.tenant_id).locked(subscription_id)
                catch_up(tx, row)
                _warn_of_the_end(tx, row)
            moved += 1
        except IntegrityError as error:
            stuck[f"{tenant_id}/{subscription_id}"] = str(error.orig)
    return Upkeep(moved, stuck)


def due(engine: Engine, at: datetime) -> list[tuple[str, str]]:
    """(tenant, subscription) of all that something happens to by `at`."""
    with session_scope(engine) as session:
        tenants = session.scalars(select(TenantRow.id).order_by(TenantRow.id)).all()
        return [(tenant, found) for tenant in tenants for found in Subscriptions(session, tenant).due(at)]


def catch_up(tx: Tx, row: SubscriptionRow) -> list[Phase]:
    """Record what is due by now of a locked subscription; all its phases since."""
    recorded = Subscriptions(tx.session, tx.tenant_id).phases([row.id])[row.id]
    came = [phase for phase in to_come(recorded, agreement_of(row)) if phase.starts_at <= tx.at]
    if came:
        record(replace(tx, actor=SYSTEM), row, came)
    return [*recorded, *came]


def record(tx: Tx, row: SubscriptionRow, phases: Sequence[Phase]) -> None:
    """Add phases to a locked subscription and to the audit log; keys end with a subscription that ends."""
    for phase in phases:
        before: dict[str, object] = {"status": row.status, "offeringId": row.offering_id}
        after = {"status": str(phase.state), "offeringId": phase.offering}
        changes = {
            name: {"before": before[name], "after": after[name]}
            for name in before
            if before[name] != after[name]
        }
        changes["startsAt"] = {"before": None, "after": phase.starts_at.isoformat()}
        what = f"SUBSCRIPTION_{phase.state}" if "status" in changes else "SUBSCRIPTION_CHANGED"
        tx.record(what, "subscription", row.id, changes, phase.reason)
        if phase.offering == row.change_offering_id or phase.state in TERMINAL:
            row.change_at = row.change_offering_id = row.change_plan_id = None
            row.change_plan_version = row.change_reason = None
        row.status, row.offering_id = phase.state, phase.offering
    Subscriptions(tx.session, tx.tenant_id).record(row, phases, at=tx.at)
    if phases[-1].state in TERMINAL:
        revoke_keys_of(tx, row.id, phases[-1].reason)


def _warn_of_the_end(tx: Tx, row: SubscriptionRow) -> None:
    """An active subscription whose end is near is EXPIRING_SOON: billed and allowed as before."""
    ends = [at for at in (row.ends_at, row.cancel_at) if at is not None]
    if row.status != State.ACTIVE or not ends or min(ends) > tx.at + EXPIRING_WITHIN:
        return
    last = Subscriptions(tx.session, tx.tenant_id).phases([row.id])[row.id][-1]
    soon = replace(
        last, state=State.EXPIRING_SOON, starts_at=tx.at, reason="its end is near", actor=SYSTEM.id
    )
    record(tx, row, [soon])
