"""Who may do what. Put here: the areas, and the one table of roles. Keep out: HTTP; how somebody proved who they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Area(StrEnum):
    """A part of the management door that rights are given for."""

    CATALOG = "CATALOG"
    PRICING = "PRICING"
    CUSTOMERS = "CUSTOMERS"
    SUBSCRIPTIONS = "SUBSCRIPTIONS"
    KEYS = "KEYS"
    BILLING = "BILLING"
    INTEGRATIONS = "INTEGRATIONS"
    SETTINGS = "SETTINGS"
    AUDIT = "AUDIT"
    TENANTS = "TENANTS"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role may read and change."""

    reads: frozenset[Area]
    writes: frozenset[Area]


_ANY = frozenset(Area) - {Area.TENANTS}  # tenants are the installation's, whatever one's role in a tenant
_NOTHING: frozenset[Area] = frozenset()

ROLES: Mapping[str, Rights] = {
    "OWNER": Rights(_ANY, _ANY),
    "ADMIN": Rights(_ANY, _ANY),  # but not keys of OWNERs: see storage.services.operator_keys
    "PRODUCT_MANAGER": Rights(_ANY, frozenset({Area.CATALOG, Area.PRICING})),
    "BILLING_ADMIN": Rights(
        _ANY - {Area.CATALOG}, frozenset({Area.BILLING, Area.CUSTOMERS, Area.SUBSCRIPTIONS})
    ),
    "DEVELOPER": Rights(_ANY, frozenset({Area.KEYS, Area.INTEGRATIONS})),
    "VIEWER": Rights(_ANY, _NOTHING),
}


def may(role: str, area: Area, *, change: bool) -> bool:
    """Whether the role may read the area, or change it."""
    rights = ROLES[role]
    return area in (rights.writes if change else rights.reads)


def those_who_may(area: Area, *, change: bool) -> list[str]:
    """The roles that may."""
    return [role for role in ROLES if may(role, area, change=change)]
