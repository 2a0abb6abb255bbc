"""Teams, apps and agents of an applied catalog. Put here: finding and saving them together. Keep out: changing one by one
(accessors.py), what must hold (domain.catalog)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction
from domain.people import AGENT, APP, Accessor, Team
from storage.repositories.catalog import save_rows
from storage.repositories.people import accessor_of, accessor_values, team_of, team_values
from storage.tables.customers import AccessorRow, CustomerRow, TeamRow


def with_people(session: Session, catalog: Catalog) -> Catalog:
    """The stored catalog with its teams, apps and agents that are not archived."""
    tenant_id = catalog.tenant.id
    teams = _live(session, TeamRow, tenant_id)
    accessors = [accessor_of(row) for row in _live(session, AccessorRow, tenant_id)]
    return replace(
        catalog,
        teams={row.id: team_of(row) for row in teams},
        apps={each.id: each for each in accessors if each.type == APP},
        agents={each.id: each for each in accessors if each.type == AGENT},
    )


def of_archived_customers(session: Session, asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    """New teams, apps and agents of customers that are archived."""
    query = select(CustomerRow.id).where(
        CustomerRow.tenant_id == asked.tenant.id, CustomerRow.archived_at.is_not(None)
    )
    archived = set(session.scalars(query))
    for section in ("teams", "apps", "agents"):
        for index, (key, holder) in enumerate(getattr(asked, section).items()):
            if holder.customer in archived and key not in getattr(stored, section):
                what = f"{holder.customer!r} is archived; nothing more can be done with it"
                yield Contradiction(f"{section}[{index}].customerId", what)


def save_teams(session: Session, tenant_id: str, teams: Iterable[Team]) -> None:
    """Insert them, or update those whose id is there already."""
    save_rows(session, tenant_id, TeamRow, [{"id": team.id, **team_values(team)} for team in teams])


def save_accessors(session: Session, tenant_id: str, accessors: Iterable[Accessor]) -> None:
    """Insert them, or update those whose id is there already."""
    rows = [{"id": each.id, **accessor_values(each)} for each in accessors]
    save_rows(session, tenant_id, AccessorRow, rows)


def _live(session: Session, table: Any, tenant_id: str) -> list[Any]:
    query = select(table).where(table.tenant_id == tenant_id, table.archived_at.is_(None))
    return list(session.scalars(query.order_by(table.id)))
