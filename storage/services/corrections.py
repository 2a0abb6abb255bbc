"""Corrections of issued invoices. Put here: approving what a replay found. Keep out: proposing it (proposals.py), billing it
(repositories.adjustments).

An issued invoice is never edited. What is approved becomes adjustments, each once; the next bill carries them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain.actor import OPERATOR, Actor
from domain.errors import Conflict, NotFound
from storage.repositories.audit import Audit
from storage.repositories.paging import PageQuery, keyset
from storage.tables.corrections import AdjustmentRow, ReplayRow
from storage.tables.invoices import InvoiceRow
from storage.tables.tenants import OrganizationSettingsRow


class ReplayNotFound(NotFound):
    """No such replay in this tenant; another tenant's looks the same."""

    code = "REPLAY_NOT_FOUND"

    def __init__(self, replay_id: str) -> None:
        super().__init__(f"replay {replay_id!r} does not exist; GET /api/v1/replays lists them")


class StaleReplay(Conflict):
    """Something was corrected since the replay was made."""

    code = "STALE_REPLAY"

    def __init__(self, replay_id: str, line_id: str) -> None:
        super().__init__(
            f"replay {replay_id}: line {line_id} was adjusted since; replay the month again and approve that"
        )


def approve_replay(
    session: Session, proposals: Iterable[Mapping[str, Any]], reason: str
) -> list[dict[str, Any]]:
    """Approve proposals of several tenants: for the operator of the installation."""
    return [
        shown_adjustment(row)
        for proposal in proposals
        for row in Corrections(session, proposal["tenantId"]).approve(proposal["id"], reason)
    ]


def approve_if_agreed(session: Session, proposals: Iterable[Mapping[str, Any]]) -> list[str]:
    """Approve the proposals of tenants whose settings say that nobody need look at them (`corrections.autoApprove`); their ids."""
    done = []
    for proposal in proposals:
        row = session.get(OrganizationSettingsRow, proposal["tenantId"])
        if row is not None and (row.settings.get("corrections") or {}).get("autoApprove") is True:
            Corrections(session, proposal["tenantId"]).approve(proposal["id"], "approved by the settings")
            done.append(proposal["id"])
    return done


def page_of_replays(
    session: Session, tenant_id: str, page: PageQuery
) -> tuple[list[ReplayRow], int, str | None]:
    """A page of one tenant's replays, by month unless the page says otherwise; see `keyset`."""
    columns = {"month": ReplayRow.month, "status": ReplayRow.status, "id": ReplayRow.id}
    return keyset(session, select(ReplayRow).where(ReplayRow.tenant_id == tenant_id), columns, page)


class Corrections:
    """One tenant's replays and adjustments."""

    def __init__(
        self, session: Session, tenant_id: str, actor: Actor = OPERATOR, at: datetime | None = None
    ) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._actor = actor
        self._audit = Audit(session, tenant_id, actor, at=at)

    def get(self, replay_id: str, *, lock: bool = False) -> ReplayRow:
        """Raises ReplayNotFound."""
        key = (self._tenant_id, replay_id)
        row = self._session.get(ReplayRow, key, with_for_update=lock or None, populate_existing=lock)
        if row is None:
            raise ReplayNotFound(replay_id)
        return row

    def adjustments(self, replay_id: str | None = None) -> list[AdjustmentRow]:
        """All, or those of a replay, in the order they were made."""
        query = select(AdjustmentRow).where(AdjustmentRow.tenant_id == self._tenant_id)
        if replay_id is not None:
            query = query.where(AdjustmentRow.replay_id == replay_id)
        return list(self._session.scalars(query.order_by(AdjustmentRow.created_at, AdjustmentRow.id)))

    def approve(self, replay_id: str, reason: str) -> list[AdjustmentRow]:
        """Make the adjustments a replay proposes. Repeating it changes nothing. Raises ReplayNotFound, StaleReplay."""
        replay = self.get(replay_id, lock=True)
        if replay.status == "APPROVED":
            return self.adjustments(replay_id)
        self._lock_invoices({each["invoiceId"] for each in replay.differences})
        for each in replay.differences:
            if self._adjusted(each["lineId"]) != Decimal(each["adjusted"]):
                raise StaleReplay(replay_id, each["lineId"])
        new = [self._new(replay, each, reason) for each in replay.differences]
        if new:
            self._session.execute(insert(AdjustmentRow).values(new).on_conflict_do_nothing())
        now: Any = self._session.scalar(select(func.now()))
        replay.status, replay.reason = "APPROVED", reason
        replay.approved_by, replay.approved_at = self._actor.id, now
        changes = {
            "status": {"before": "PROPOSED", "after": "APPROVED"},
            "adjustments": {"before": None, "after": [row["id"] for row in new]},
        }
        self._audit.record("REPLAY_APPROVED", "replay", replay_id, changes, reason)
        self._session.flush()
        return self.adjustments(replay_id)

    def _lock_invoices(self, invoices: set[str]) -> None:
        """Two approvals that concern an invoice wait for each other."""
        query = select(InvoiceRow.id).where(
            InvoiceRow.tenant_id == self._tenant_id, InvoiceRow.id.in_(invoices)
        )
        self._session.execute(query.order_by(InvoiceRow.id).with_for_update())

    def _adjusted(self, line_id: str) -> Decimal:
        query = select(func.coalesce(func.sum(AdjustmentRow.amount), 0)).where(
            AdjustmentRow.tenant_id == self._tenant_id, AdjustmentRow.line_id == line_id
        )
        return Decimal(self._session.scalar(query) or 0)

    def _new(self, replay: ReplayRow, found: Mapping[str, Any], reason: str) -> dict[str, Any]:
        said = "\0".join([self._tenant_id, found["lineId"], replay.content_hash])
        return {
            "tenant_id": self._tenant_id,
            "id": "adj_" + sha256(said.encode()).hexdigest()[:20],
            "replay_id": replay.id,
            "replay_hash": replay.content_hash,
            "month": replay.month,
            "customer_id": found["customerId"],
            "subscription_id": found["subscriptionId"],
            "line_id": found["lineId"],
            "invoice_id": found["invoiceId"],
            "description": f"Adjustment for {replay.month}: {found['description']}",
            "unit": found["unit"],
            "period_start": datetime.fromisoformat(found["periodStart"]),
            "period_end": datetime.fromisoformat(found["periodEnd"]),
            "currency": found["currency"],
            "amount": Decimal(found["difference"]),
            "reason": reason,
            "status": "PENDING",
        }


def shown_adjustment(row: AdjustmentRow) -> dict[str, Any]:
    """An adjustment as data."""
    return {
        "id": row.id,
        "replayId": row.replay_id,
        "month": row.month,
        "customerId": row.customer_id,
        "lineId": row.line_id,
        "invoiceId": row.invoice_id,
        "description": row.description,
        "currency": row.currency,
        "amount": format(row.amount.normalize(), "f"),
        "reason": row.reason,
        "status": row.status,
    }
