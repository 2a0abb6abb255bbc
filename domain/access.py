"""Rights as the edge sees them. Put here: the records of the hot state. Keep out: how they are stored or computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

METER, ACCESS = "meter", "access"
_OPENED_BY = {
    METER: frozenset({"meter", "metering", "ingest", "usage", "events", "write", "all", "*"}),
    ACCESS: frozenset({"access", "canaccess", "entitlements", "usage", "read", "all", "*"}),
}
"""The doors of the edge, and what scopes start with that open them: `ingest:write` is a way to say `ingest`."""


def opens(scopes: Iterable[str], door: str) -> bool:
    """Whether a key with these scopes may pass a door of the edge. No scopes: it passes all of them."""
    named = [scope.partition(":")[0].lower() for scope in scopes]
    return not named or any(name in _OPENED_BY[door] for name in named)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A live API key, addressed by the SHA-256 of its secret. `customer_id` None: a key of the whole tenant."""

    key_id: str
    tenant_id: str
    customer_id: str | None
    environment: str = "live"
    status: str = "ACTIVE"
    scopes: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    """CIDR; none: from anywhere."""
    until: int | None = None
    """The instant it stops by itself, epoch microseconds: it expires, or the key that replaced it takes over."""


@dataclass(frozen=True, slots=True)
class FilterCondition:
    """One condition on a field of the event; all conditions of a unit must hold for an event to count.

    operator: EQUALS, NOT_EQUALS, GREATER_THAN, LESS_THAN, CONTAINS, NOT_CONTAINS, IN, NOT_IN.
    """

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A billable unit as the door needs it; found by its `key` or its `name`, case-insensitively."""

    key: str
    name: str
    aggregation: str
    event_field: str | None = None
    allow_negative: bool = False
    filters: tuple[FilterCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """One entitlement: BOOLEAN (`enabled`), STATIC (`value`) or METERED (`unit` up to `limit`; None is unlimited)."""

    key: str
    type: str
    enabled: bool = True
    value: str | None = None
    unit: str | None = None
    limit: str | None = None
    hard: bool = True


@dataclass(frozen=True, slots=True)
class SubscriptionRights:
    """What one live subscription grants. `periods`: half-open billing periods [start, end) in epoch microseconds. `unfunded`:
    PREPAID with nothing left in the wallet: BLOCK refuses, ALERT lets pass; empty otherwise."""

    subscription_id: str
    offering: str
    plan: str
    status: str
    periods: tuple[tuple[int, int], ...]
    features: tuple[Feature, ...] = ()
    units: tuple[str, ...] = ()
    unfunded: str = ""
    balance: str | None = None
    """What is left in the wallet of a PREPAID subscription, exact text in the plan's currency."""
    rate_limit: str | None = None
    """How many requests the plan lets each key of the customer make; see domain.limits."""


@dataclass(frozen=True, slots=True)
class MarginLevel:
    """How far a customer is restricted because serving it costs more than it pays: NONE, L1_ALERT, L2_THROTTLE, L3_BLOCK.

    throttle_rate: percent of requests let through at L2. retry_after: seconds.
    """

    level: str = "NONE"
    throttle_rate: int = 50
    retry_after: int = 1800
    message: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerRights:
    """Everything a customer may do, over all live subscriptions."""

    customer_id: str
    subscriptions: tuple[SubscriptionRights, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantRights:
    """One tenant's whole hot state: what `storage.hot_state.publish` replaces at once."""

    tenant_id: str
    units: tuple[UnitRecord, ...] = ()
    customers: tuple[CustomerRights, ...] = ()
    keys: dict[str, KeyRecord] = field(default_factory=dict)
    """Live keys by the hex SHA-256 of their secret."""
