"""Who is calling. Put here: API keys and tokens at the edge. Keep out: operator keys (the management door has its own)."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, NoReturn

from fastapi import Request
from redis.exceptions import RedisError

from api.edge.heads import header
from api.edge.service import EdgeService
from api.problems import Problem
from domain.access import METER, KeyRecord, opens
from domain.errors import TransientFailure

_PREFIXES = ("sk_live_", "sk_test_")
_OPERATOR = "afo_"
_NOT_ALONE = ("authorization", "x-aforo-key", "forwarded", "x-forwarded-for")
_DOTS_OF_A_TOKEN = 2


async def authenticate(service: EdgeService, request: Request, *doors: str, stale: bool = False) -> KeyRecord:
    """The key of the request, or the one its token was made from. doors: METER, ACCESS; a scope for one of them is enough.

    stale: ask nobody, go by what is known; then a key that is not known raises NotKnown. Raises Problem 401 for no, unknown,
    expired or revoked keys and tokens, 403 for another tenant's header, a key without the scope, or one used from an address it
    is not good for.
    """
    usual = bearer_at_once(service, request)
    if usual is not None:
        return _with_scope(usual.record, doors)
    scheme, _, secret = (header(request, b"authorization") or "").partition(" ")
    if not scheme:
        scheme, secret = "bearer", header(request, b"x-aforo-key") or ""
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send the API key as: Authorization: Bearer sk_live_…")
    secret = secret.strip()
    if secret.startswith(_PREFIXES):
        key = _as_last_known(service, secret) if stale else await _known_key(service, secret)
    elif secret.startswith(_OPERATOR):
        raise _unauthorized(
            "This is an operator key, which is for the management API; send a customer's API key (sk_live_… or sk_test_…)."
        )
    elif secret.count(".") == _DOTS_OF_A_TOKEN:
        key = _of_last_token(service, secret) if stale else await service.tokens.key(secret)
    else:
        raise _unauthorized("This is no API key of a tenant; those start with sk_live_ or sk_test_.")
    _with_scope(key, doors)
    if key.ip_ranges:
        _require_address(key, request.client.host if request.client else "")
    require_tenant(key, header(request, b"x-tenant-id"), "X-Tenant-Id")
    return key


def _with_scope(key: KeyRecord, doors: Sequence[str]) -> KeyRecord:
    if key.scopes and not any(opens(key.scopes, door) for door in doors):
        detail = f"This API key has the scopes {', '.join(key.scopes)}; this needs {' or '.join(doors)}."
        raise Problem(403, detail, code="SCOPE_MISSING")
    return key


class Bearer(NamedTuple):
    """A key that is good now. sha: hash of its secret."""

    sha: str
    record: KeyRecord


def bearer_at_once(service: EdgeService, request: Request) -> Bearer | None:
    """The key of a request, where it is sent as usual and known to be good now; None: `authenticate` finds out, and says why not.
    Scopes are not looked at: they stay as they are while the record is the same."""
    scheme, _, secret = (header(request, b"authorization") or "").partition(" ")
    if scheme != "Bearer" or not secret.startswith(_PREFIXES):
        return None
    sha = sha256(secret.encode()).hexdigest()
    key = service.known.key_at_once(sha)
    if key is None or key.ip_ranges or not _is_good(key):
        return None
    named = header(request, b"x-tenant-id")
    return Bearer(sha, key) if not named or named == key.tenant_id else None


async def metering_key(service: EdgeService, request: Request) -> KeyRecord:
    """`authenticate` for metering: while Redis is gone by what is known, if requests are kept on disk meanwhile."""
    spooling = service.spooling
    if spooling is None:
        return await authenticate(service, request, METER)
    try:
        return await spooling.ask(lambda: authenticate(service, request, METER))
    except (RedisError, OSError, TransientFailure):
        return await authenticate(service, request, METER, stale=True)


class NotKnown(TransientFailure):
    """Redis is gone and this process does not know the key: it may be a good one."""

    code = "REDIS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("Keys cannot be looked up at the moment; try again.")


def _as_last_known(service: EdgeService, secret: str) -> KeyRecord:
    return _usable(
        service.known.key_as_last_known(secret, service.settings.stale_seconds) or _raise_not_known()
    )


def _of_last_token(service: EdgeService, token: str) -> KeyRecord:
    return service.tokens.key_as_last_known(token) or _raise_not_known()


def _raise_not_known() -> NoReturn:
    raise NotKnown


def gateway_key(service: EdgeService, request: Request) -> KeyRecord | None:
    """A stand-in for the key of a gateway that sends none, only the tenant's name: good where it calls from one of the addresses
    the settings list, and for asking only. Behind a proxy nobody calls from a known address."""
    headers = request.headers
    tenant_id = headers.get("x-tenant-id")
    if not tenant_id or any(name in headers for name in _NOT_ALONE):
        return None
    if not is_within(request.client.host if request.client else "", service.settings.gateways):
        return None
    return KeyRecord(f"gateway:{tenant_id}", tenant_id, None)


async def _known_key(service: EdgeService, secret: str) -> KeyRecord:
    return _usable(await service.known.key(secret))


def _usable(key: KeyRecord | None) -> KeyRecord:
    if key is None or key.status != "ACTIVE":
        raise _unauthorized("This API key does not exist or was revoked.")
    if not _is_good(key):
        raise _unauthorized("This API key has expired or was replaced by another.")
    return key


def _is_good(key: KeyRecord) -> bool:
    return key.status == "ACTIVE" and (key.until is None or time.time_ns() // 1000 < key.until)


def require_tenant(key: KeyRecord, tenant_id: str | None, field: str) -> None:
    """The tenant comes from the key; where it is also named, it must agree."""
    if tenant_id and tenant_id != key.tenant_id:
        raise Problem(
            403, f"{field}: {tenant_id!r} is not the tenant of this API key; leave it out.", code="FORBIDDEN"
        )


def require_whole_tenant(key: KeyRecord) -> KeyRecord:
    """The key, which must be the tenant's own: what is asked for concerns all of its customers. Raises Problem 403."""
    if key.customer_id is not None:
        raise Problem(
            403, "This is for keys of the whole tenant only, not for a customer's.", code="FORBIDDEN"
        )
    return key


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
