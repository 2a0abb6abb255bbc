"""Teams, apps and agents. Put here: their rows as domain nouns and back. Keep out: what may be done with them (services)."""

from __future__ import annotations

from typing import Any

from domain.people import Accessor, Budget, Team
from storage.tables.customers import AccessorRow, TeamRow


def team_of(row: TeamRow) -> Team:
    """The row as the domain knows it."""
    budget = None
    if row.budget_amount is not None and row.budget_currency is not None:
        amount = row.budget_amount.normalize()
        budget = Budget(amount, row.budget_currency, row.budget_period or "MONTHLY")
    return Team(row.id, row.name, row.customer_id, budget)


def team_values(team: Team) -> dict[str, Any]:
    """The columns of the team's row, without tenant and id."""
    budget = team.budget
    return {
        "name": team.name,
        "customer_id": team.customer,
        "budget_amount": None if budget is None else budget.amount,
        "budget_currency": None if budget is None else budget.currency,
        "budget_period": None if budget is None else budget.period,
    }


def accessor_of(row: AccessorRow) -> Accessor:
    """The row as the domain knows it."""
    return Accessor(
        id=row.id,
        type=row.type,
        name=row.name,
        customer=row.customer_id,
        team=row.team_id,
        description=row.description,
        status=row.status,
        agent_type=row.agent_type,
        capabilities=tuple(row.capabilities),
        rate_limits=dict(row.rate_limits),
    )


def accessor_values(accessor: Accessor) -> dict[str, Any]:
    """The columns of the accessor's row, without tenant and id."""
    return {
        "type": accessor.type,
        "name": accessor.name,
        "customer_id": accessor.customer,
        "team_id": accessor.team,
        "description": accessor.description,
        "status": accessor.status,
        "agent_type": accessor.agent_type,
        "capabilities": list(accessor.capabilities),
        "rate_limits": dict(accessor.rate_limits),
    }
