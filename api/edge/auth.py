"""Who is calling. Put here: API keys and tokens at the edge. Keep out: operator keys (the management door has its own)."""

from __future__ import annotations

import ipaddress
import time
from functools import lru_cache

from fastapi import Request

from api.edge.service import EdgeService
from api.problems import Problem
from domain.access import KeyRecord, opens

_PREFIXES = ("sk_live_", "sk_test_")
_OPERATOR = "afo_"
_DOTS_OF_A_TOKEN = 2


async def authenticate(service: EdgeService, request: Request, door: str) -> KeyRecord:
    """The key of the request, or the one its token was made from. door: METER or ACCESS.

    Raises Problem 401 for no, unknown, expired or revoked keys and tokens, 403 for another tenant's header, a key without the
    scope, or one used from an address it is not good for.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send the API key as: Authorization: Bearer sk_live_…")
    secret = secret.strip()
    if secret.startswith(_PREFIXES):
        key = await _known_key(service, secret)
    elif secret.startswith(_OPERATOR):
        raise _unauthorized(
            "This is an operator key, which is for the management API; send a customer's API key (sk_live_… or sk_test_…)."
        )
    elif secret.count(".") == _DOTS_OF_A_TOKEN:
        key = await service.tokens.key(secret)
    else:
        raise _unauthorized("This is no API key of a tenant; those start with sk_live_ or sk_test_.")
    if key.scopes and not opens(key.scopes, door):
        detail = f"This API key has the scopes {', '.join(key.scopes)}; this needs {door}."
        raise Problem(403, detail, code="SCOPE_MISSING")
    if key.ip_ranges:
        _require_address(key, request.client.host if request.client else "")
    require_tenant(key, request.headers.get("x-tenant-id"), "X-Tenant-Id")
    return key


async def _known_key(service: EdgeService, secret: str) -> KeyRecord:
    key = await service.known.key(secret)
    if key is None or key.status != "ACTIVE":
        raise _unauthorized("This API key does not exist or was revoked.")
    if key.until is not None and time.time_ns() // 1000 >= key.until:
        raise _unauthorized("This API key has expired or was replaced by another.")
    return key


def require_tenant(key: KeyRecord, tenant_id: str | None, field: str) -> None:
    """The tenant comes from the key; where it is also named, it must agree."""
    if tenant_id and tenant_id != key.tenant_id:
        raise Problem(
            403, f"{field}: {tenant_id!r} is not the tenant of this API key; leave it out.", code="FORBIDDEN"
        )


def _require_address(key: KeyRecord, address: str) -> None:
    if not is_within(address, key.ip_ranges):
        raise Problem(
            403,
            f"This API key may not be used from the address {address or 'unknown'}.",
            code="ADDRESS_NOT_ALLOWED",
        )


@lru_cache(maxsize=10_000)
def is_within(address: str, ranges: tuple[str, ...]) -> bool:
    """Whether the address is in one of these ranges (CIDR); an IPv4 address is the same written as IPv6."""
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(each) for each in ranges)


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, code="UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer"})
