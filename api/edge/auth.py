"""Who is calling. Put here: API keys at the edge. Keep out: operator tokens (the management door has its own)."""

from __future__ import annotations

from fastapi import Request

from api.edge.service import EdgeService
from api.problems import Problem
from domain.access import KeyRecord

_PREFIXES = ("sk_live_", "sk_test_")


async def authenticate(service: EdgeService, request: Request) -> KeyRecord:
    """The key of the request. Raises Problem 401 for no, unknown or revoked keys, 403 for another tenant's header."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send the API key as: Authorization: Bearer sk_live_…")
    secret = secret.strip()
    if not secret.startswith(_PREFIXES):
        raise _unauthorized("This is no API key of a tenant; those start with sk_live_ or sk_test_.")
    key = await service.known.key(secret)
    if key is None or key.status != "ACTIVE":
        raise _unauthorized("This API key does not exist or was revoked.")
    require_tenant(key, request.headers.get("x-tenant-id"), "X-Tenant-Id")
    return key


def require_tenant(key: KeyRecord, tenant_id: str | None, field: str) -> None:
    """The tenant comes from the key; where it is also named, it must agree."""
    if tenant_id and tenant_id != key.tenant_id:
        raise Problem(
            403, f"{field}: {tenant_id!r} is not the tenant of this API key; leave it out.", code="FORBIDDEN"
        )


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, code="UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer"})
