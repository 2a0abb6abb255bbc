"""The routes of teams. Put here: reading the request, shaping the answer. Keep out: what may happen to a team."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, PageQuery, managed_router
from domain.people import written_team
from storage.repositories.paging import keyset
from storage.repositories.people import team_of
from storage.services.accessors import Teams
from storage.tables.customers import TeamRow
from storage.tenancy import Tx

SORTS = {"createdAt": TeamRow.created_at, "name": TeamRow.name, "id": TeamRow.id}


class TeamBody(Body):
    """A team of a customer; edits send what changes, and null clears a field."""

    name: str | None = Field(None, description="Required; unique within the customer.", examples=["Research"])
    customer_id: str | None = Field(None, description="Required; never changes.", examples=["cus_initech"])
    budget: dict[str, Any] | None = Field(
        None,
        description="amount, currency (the customer's, unless given), period MONTHLY, QUARTERLY or ANNUAL.",
        examples=[{"amount": "500.00", "currency": "USD", "period": "MONTHLY"}],
    )


def team_routes(door: Door) -> APIRouter:
    """Under /api/v1/teams."""
    router = managed_router("/api/v1/teams", "teams")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        name: Annotated[str | None, Query(description="A part of it, in any case.")] = None,
        archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """A page of teams; sort by createdAt, name or id."""

        def work(tx: Tx, page: PageQuery) -> Any:
            query = Teams(tx).matching(customer=customer_id, name=name, archived=archived)
            return keyset(tx.session, query, SORTS, page)

        return call.listing(work, shown_team)

    @router.post("", status_code=201)
    def create(body: TeamBody, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]) -> Response:
        """Create a team."""
        return call.write(lambda tx: shown_team(Teams(tx).create(body.sent())), status=201)

    @router.get("/{team_id}")
    def one(team_id: str, call: Annotated[Call, Depends(door.read(Area.CUSTOMERS))]) -> Response:
        """A team, archived ones too."""
        return call.read(lambda tx: shown_team(Teams(tx).get(team_id)))

    @router.patch("/{team_id}")
    def edit(
        team_id: str, body: TeamBody, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]
    ) -> Response:
        """Change the fields sent."""
        return call.write(lambda tx: shown_team(Teams(tx).edit(team_id, body.sent(), call.expect)))

    @router.delete("/{team_id}", status_code=204)
    def archive(team_id: str, call: Annotated[Call, Depends(door.write(Area.CUSTOMERS))]) -> Response:
        """Archive a team without apps and agents."""
        return call.write(lambda tx: Teams(tx).archive(team_id, call.expect))

    return router


def shown_team(row: TeamRow) -> dict[str, Any]:
    """A team as answers show it."""
    lasting = {
        "status": "ACTIVE" if row.archived_at is None else "ARCHIVED",
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
    }
    return camel({"budget": None, **written_team(team_of(row)), **lasting})
