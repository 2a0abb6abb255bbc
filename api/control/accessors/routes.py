"""The routes of apps and agents. Put here: reading the request, shaping the answer. Keep out: what may happen to one."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, PageQuery, managed_router
from domain.people import AGENT, APP, written_accessor
from storage.repositories.paging import keyset
from storage.repositories.people import accessor_of
from storage.services.accessors import Accessors
from storage.tables.customers import AccessorRow
from storage.tenancy import Tx

SORTS = {"createdAt": AccessorRow.created_at, "name": AccessorRow.name, "id": AccessorRow.id}
Status = Literal["ACTIVE", "SUSPENDED", "ARCHIVED"]


class AppBody(Body):
    """An app of a customer; edits send what changes, and null clears a field."""

    name: str | None = Field(None, description="Required; unique within the customer.", examples=["Web shop"])
    customer_id: str | None = Field(None, description="Required; never changes.", examples=["cus_initech"])
    team_id: str | None = Field(None, description="A team of the same customer.")
    description: str | None = None
    status: str | None = Field(None, description="ACTIVE or SUSPENDED.", examples=["ACTIVE"])


class AgentBody(AppBody):
    """An AI agent of a customer; edits send what changes, and null clears a field."""

    agent_type: str | None = Field(
        None, description="CLAUDE, GPT, LANGCHAIN, CREWAI, AUTOGEN or CUSTOM.", examples=["CLAUDE"]
    )
    capabilities: list[Any] | None = Field(None, examples=[["search", "summarize"]])
    rate_limits: dict[str, Any] | None = Field(
        None,
        description="requestsPerSecond, requestsPerMinute, requestsPerDay, tokensPerMinute, tokensPerDay.",
        examples=[{"requestsPerMinute": 60}],
    )


class ReasonBody(Body):
    """Why."""

    reason: str | None = Field(None, max_length=500, examples=["runs wild"])


def app_routes(door: Door) -> APIRouter:
    """Under /api/v1/apps."""
    return _routes(door, APP, "apps", AppBody)


def agent_routes(door: Door) -> APIRouter:
    """Under /api/v1/agents."""
    return _routes(door, AGENT, "agents", AgentBody)


def _routes(door: Door, kind: str, noun: str, sent: type[AppBody]) -> APIRouter:
    router = managed_router(f"/api/v1/{noun}", noun)
    _reading(router, door, kind)
    _changing(router, door, kind, sent)
    _switching(router, door, kind)
    return router


def _reading(router: APIRouter, door: Door, kind: str) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        team_id: Annotated[str | None, Query(alias="teamId")] = None,
        name: Annotated[str | None, Query(description="A part of it, in any case.")] = None,
        status: Status | None = None,
        archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """A page of them; sort by createdAt, name or id."""

        def work(tx: Tx, page: PageQuery) -> Any:
            query = Accessors(tx, kind).matching(
                customer=customer_id, team=team_id, name=name, status=status, archived=archived
            )
            return keyset(tx.session, query, SORTS, page)

        return call.listing(work, shown_accessor)

    @router.get("/{accessor_id}")
    def one(accessor_id: str, call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))]) -> Response:
        """One of them, archived ones too."""
        return call.read(lambda tx: shown_accessor(Accessors(tx, kind).get(accessor_id)))


def _changing(router: APIRouter, door: Door, kind: str, sent: type[AppBody]) -> None:
    @router.post("", status_code=201)
    def create(
        body: sent,  # type: ignore[valid-type]
        call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))],
    ) -> Response:
        """Create one; keys may then be issued to it."""
        return call.write(lambda tx: shown_accessor(Accessors(tx, kind).create(body.sent())), status=201)

    @router.patch("/{accessor_id}")
    def edit(
        accessor_id: str,
        body: sent,  # type: ignore[valid-type]
        call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))],
    ) -> Response:
        """Change the fields sent."""
        return call.write(
            lambda tx: shown_accessor(Accessors(tx, kind).edit(accessor_id, body.sent(), call.expect))
        )

    @router.delete("/{accessor_id}", status_code=204)
    def archive(accessor_id: str, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]) -> Response:
        """Archive one without usable keys."""
        return call.write(lambda tx: Accessors(tx, kind).archive(accessor_id, call.expect))


def _switching(router: APIRouter, door: Door, kind: str) -> None:
    @router.post("/{accessor_id}/suspend")
    def suspend(
        accessor_id: str,
        call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))],
        body: ReasonBody | None = None,
    ) -> Response:
        """Let its keys open nothing until it is reactivated."""
        reason = body.reason if body else None
        return call.write(
            lambda tx: shown_accessor(Accessors(tx, kind).suspend(accessor_id, reason, call.expect))
        )

    @router.post("/{accessor_id}/reactivate")
    def reactivate(
        accessor_id: str,
        call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))],
        body: ReasonBody | None = None,
    ) -> Response:
        """Let its keys work again."""
        reason = body.reason if body else None
        return call.write(
            lambda tx: shown_accessor(Accessors(tx, kind).reactivate(accessor_id, reason, call.expect))
        )


def shown_accessor(row: AccessorRow) -> dict[str, Any]:
    """An app or agent as answers show it."""
    usual: dict[str, Any] = {"team_id": None, "description": None, "type": row.type}
    if row.type == AGENT:
        usual |= {"capabilities": [], "rate_limits": {}}
    lasting = {
        "status": row.status,
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
    }
    return camel(usual) | written_accessor(accessor_of(row)) | camel(lasting)
