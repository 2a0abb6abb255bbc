"""The routes of the audit log. Put here: reading the request, shaping the answer. Keep out: the chain (storage)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.control.bodies import Instant
from api.control.calls import Area, Call, Door, managed_router
from storage.repositories.audit_trail import Verdict, Wanted, find_entries, verify
from storage.tables.operations import AuditRow


def audit_routes(door: Door) -> APIRouter:
    """GET /api/v1/audit-log and /api/v1/audit-log/verify. There is no way to change or remove an entry."""
    router = managed_router("/api/v1/audit-log", "audit log")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.AUDIT))],
        actor: Annotated[
            str | None, Query(description="Id of an operator key, `operator` or `system`.")
        ] = None,
        action: Annotated[str | None, Query(examples=["RATE_PLAN_UPDATED"])] = None,
        target_type: Annotated[str | None, Query(alias="targetType")] = None,
        target_id: Annotated[str | None, Query(alias="targetId")] = None,
        start: Annotated[Instant | None, Query(alias="from", description="At or after.")] = None,
        end: Annotated[Instant | None, Query(alias="to", description="Before.")] = None,
    ) -> Response:
        """A page of the audit log, the newest entries first."""
        wanted = Wanted(actor, action, target_type, target_id, start, end)
        return call.listing(lambda tx, page: find_entries(tx.session, tx.tenant_id, wanted, page), _shown)

    @router.get("/verify")
    def verified(call: Annotated[Call, Depends(door.read(Area.AUDIT))]) -> Response:
        """Compute the hash chain again and name the first entry that does not fit."""
        return call.read(lambda tx: _shown_verdict(verify(tx.session, tx.tenant_id)))

    return router


def _shown(row: AuditRow) -> dict[str, Any]:
    renamed = row.changes.get("name")
    name = renamed if isinstance(renamed, dict) else {}
    return {
        "event_id": row.event_id,
        "timestamp": row.at,
        "actor": {"user_id": row.actor, "role": row.role, "ip": row.ip},
        "action": row.action,
        "target": {
            "type": row.target_type,
            "id": row.target_id,
            "name": name.get("after") or name.get("before"),
        },
        "changes": row.changes,
        "metadata": {"reason": row.reason, "request_id": row.request_id},
        "prev_hash": row.prev_hash,
        "hash": row.hash,
    }


def _shown_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "intact": verdict.holds,
        "entries": verdict.entries,
        "firstBroken": verdict.broken,
        "problem": verdict.what,
        "newestHash": verdict.newest or None,
    }
