"""Who acts. Put here: the name, role and origin that every recorded act carries. Keep out: how they proved who they are."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = ("OWNER", "ADMIN", "PRODUCT_MANAGER", "BILLING_ADMIN", "DEVELOPER", "VIEWER")


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that acts for a tenant. id: an operator key's id, `operator` (the installation's own token or the
    command line) or `system` (a schedule). ip, request_id: of the request, if it came by one."""

    id: str = "operator"
    role: str = "OWNER"
    ip: str | None = None
    request_id: str | None = None


OPERATOR = Actor()
SYSTEM = Actor("system")
