"""Teams, apps and agents of customers. Put here: their shapes, reading and writing one. Keep out: keys, who may use what.

Apps and agents are *accessors*: what a key belongs to. They can be suspended alone, without touching the customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.catalog.details import currency, maybe_currency, maybe_key, without_none
from domain.catalog.fields import FieldProblem, Fields

APP, AGENT = "APP", "AGENT"
ACCESSOR_STATUSES = ("ACTIVE", "SUSPENDED")
AGENT_TYPES = ("CLAUDE", "GPT", "LANGCHAIN", "CREWAI", "AUTOGEN", "CUSTOM")
BUDGET_PERIODS = ("MONTHLY", "QUARTERLY", "ANNUAL")
RATE_LIMITS = (
    "requestsPerSecond", "requestsPerMinute", "requestsPerDay", "tokensPerMinute", "tokensPerDay",
)  # fmt: skip
MOST_CAPABILITIES = 100
_MOST_REQUESTS = 10**12
_BUDGET_PLACES = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """What a team means to spend in a period; it warns, it stops nothing."""

    amount: Decimal
    currency: str
    period: str = "MONTHLY"


@dataclass(frozen=True, slots=True)
class Team:
    """People of a customer who share apps, agents and a budget."""

    id: str
    name: str
    customer: str
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Accessor:
    """An app or agent of a customer. type: APP or AGENT; agent_type, capabilities and rate_limits: of agents only."""

    id: str
    type: str
    name: str
    customer: str
    team: str | None = None
    description: str | None = None
    status: str = "ACTIVE"
    agent_type: str | None = None
    capabilities: tuple[str, ...] = ()
    rate_limits: Mapping[str, int] = field(default_factory=dict)


TEAM_ALIASES = {"customer": "customerId"}
ACCESSOR_ALIASES = {"customer": "customerId", "team": "teamId"}


def read_team(fields: Fields, budget_currency: str | None = None) -> Team:
    """budget_currency: of a budget that names none. Raises FieldProblem."""
    team = Team(
        id=fields.key("id"),
        name=fields.text("name"),
        customer=fields.key("customerId", "customer"),
        budget=_budget(fields, budget_currency),
    )
    fields.done()
    return team


def written_team(team: Team) -> dict[str, Any]:
    """As it is read; decimals stay Decimal."""
    budget = team.budget
    shown = None
    if budget is not None:
        shown = {"amount": budget.amount, "currency": budget.currency, "period": budget.period}
    return without_none({"id": team.id, "name": team.name, "customerId": team.customer, "budget": shown})


def read_accessor(fields: Fields, kind: str) -> Accessor:
    """kind: APP or AGENT. Raises FieldProblem."""
    is_agent = kind == AGENT
    accessor = Accessor(
        id=fields.key("id"),
        type=kind,
        name=fields.text("name"),
        customer=fields.key("customerId", "customer"),
        team=maybe_key(fields, "teamId", "team"),
        description=fields.maybe_text("description"),
        status=fields.choice("status", ACCESSOR_STATUSES, "ACTIVE"),
        agent_type=fields.choice("agentType", AGENT_TYPES, "CUSTOM") if is_agent else None,
        capabilities=_capabilities(fields) if is_agent else (),
        rate_limits=_rate_limits(fields) if is_agent else {},
    )
    fields.done()
    return accessor


def written_accessor(accessor: Accessor) -> dict[str, Any]:
    """As it is read; fields without a value are left out."""
    return without_none(
        {
            "id": accessor.id,
            "name": accessor.name,
            "customerId": accessor.customer,
            "teamId": accessor.team,
            "description": accessor.description,
            "status": accessor.status,
            "agentType": accessor.agent_type,
            "capabilities": list(accessor.capabilities) or None,
            "rateLimits": dict(accessor.rate_limits) or None,
        }
    )


def _budget(fields: Fields, default_currency: str | None) -> Budget | None:
    _, sent = fields.raw("budget")
    if sent is None:
        return None
    inner = Fields(sent, fields.at("budget"))
    amount = inner.price("amount")
    if amount is None:
        raise FieldProblem(inner.at("amount"), "is missing; write the amount, such as 500")
    if amount != round(amount, _BUDGET_PLACES):
        raise FieldProblem(inner.at("amount"), f"{amount} has more than {_BUDGET_PLACES} decimal places")
    code = maybe_currency(inner, "currency") or currency(inner, "currency", default_currency)
    budget = Budget(amount, code, inner.choice("period", BUDGET_PERIODS, "MONTHLY"))
    inner.done()
    return budget


def _capabilities(fields: Fields) -> tuple[str, ...]:
    items = fields.items("capabilities")
    if len(items) > MOST_CAPABILITIES:
        raise FieldProblem(
            fields.at("capabilities"), f"names {len(items)}; at most {MOST_CAPABILITIES} are kept"
        )
    return tuple(Fields({"": item}, path).text("") for path, item in items)


def _rate_limits(fields: Fields) -> dict[str, int]:
    _, sent = fields.raw("rateLimits")
    if sent is None:
        return {}
    inner = Fields(sent, fields.at("rateLimits"))
    limits = {name: inner.whole(name, 1, _MOST_REQUESTS) for name in RATE_LIMITS}
    inner.done()
    return {name: limit for name, limit in limits.items() if limit is not None}
