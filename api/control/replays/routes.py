"""The routes of replays, and the key evidence is checked with. Put here: reading the request, shaping the answer. Keep out: replaying."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from storage.evidence_key import evidence_keys
from storage.services.corrections import Corrections, page_of_replays, shown_adjustment
from storage.tables.corrections import ReplayRow
from storage.tenancy import Tx


class Approval(Body):
    """Why the corrections are made."""

    reason: str = Field(
        min_length=1, max_length=500, examples=["usage that arrived after the month was closed"]
    )


def replay_routes(door: Door) -> APIRouter:
    """GET /api/v1/replays, GET /{id}, POST /{id}/approve."""
    router = managed_router("/api/v1/replays", "replays")

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """A page of what replays and billing runs found different from issued invoices."""
        return call.listing(lambda tx, query: page_of_replays(tx.session, tx.tenant_id, query), _shown)

    @router.get("/{replay}")
    def one(replay: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """A finding with its lines, and the adjustments it led to."""
        return call.read(lambda tx: _whole(tx, replay))

    @router.post("/{replay}/approve")
    def approve(
        replay: str, body: Approval, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Approve a finding: the next invoices carry the differences as adjustments. Approving it again changes nothing."""
        return call.write(lambda tx: _approved(tx, replay, body.reason))

    return router


def evidence_key_routes(door: Door) -> APIRouter:
    """GET /.well-known/evidence-keys.json."""
    router = managed_router("", "evidence")

    @router.get("/.well-known/evidence-keys.json")
    def keys() -> Response:
        """The public key evidence archives are signed with."""
        return JSONResponse(evidence_keys(door.home), headers={"Cache-Control": "public, max-age=3600"})

    return router


def _approved(tx: Tx, replay: str, reason: str) -> dict[str, Any]:
    _corrections(tx).approve(replay, reason)
    return _whole(tx, replay)


def _whole(tx: Tx, replay: str) -> dict[str, Any]:
    corrections = _corrections(tx)
    row = corrections.get(replay)
    adjustments = [shown_adjustment(each) for each in corrections.adjustments(replay)]
    return {**_shown(row), "differences": row.differences, "adjustments": adjustments}


def _corrections(tx: Tx) -> Corrections:
    return Corrections(tx.session, tx.tenant_id, tx.actor, tx.at)


def _shown(row: ReplayRow) -> dict[str, Any]:
    names = (
        "id",
        "month",
        "source",
        "status",
        "content_hash",
        "code_version",
        "reason",
        "approved_by",
        "approved_at",
        "created_at",
    )
    return camel({name: getattr(row, name) for name in names}) | {"lines": len(row.differences)}
