"""Tokens made from API keys. Put here: what is said in them and for how long. Keep out: signing, checking, where they are revoked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.access import KeyRecord
from domain.instant import SECOND

ISSUER = "https://auth.aforo.ai"
"""Who issues tokens unless the installation says otherwise."""
ALGORITHM = "RS256"
LIFE_SECONDS = 900
SKEW_SECONDS = 30
"""How far clocks may be apart."""
_ENVIRONMENTS = {"live": "live", "test": "sandbox"}


def claims_of(
    key: KeyRecord,
    *,
    issuer: str,
    subject: str,
    jti: str,
    now: int,
    scopes: Sequence[str],
    subscriptions: Sequence[str],
    offerings: Sequence[str],
) -> dict[str, Any]:
    """What a token made from this key says. It outlives neither a quarter of an hour nor the key. now: epoch microseconds."""
    issued = now // SECOND
    ends = issued + LIFE_SECONDS
    claims = {
        "iss": issuer,
        "sub": subject,
        "tenant_id": key.tenant_id,
        "customer_id": key.customer_id,
        "key_id": key.key_id,
        "offering_ids": list(offerings),
        "subscription_ids": list(subscriptions),
        "scopes": list(scopes),
        "environment": _ENVIRONMENTS[key.environment],
        "iat": issued,
        "exp": ends if key.until is None else min(ends, key.until // SECOND),
        "jti": jti,
    }
    return claims | ({"ip_ranges": list(key.ip_ranges)} if key.ip_ranges else {})


def record_of_claims(claims: Mapping[str, Any]) -> KeyRecord:
    """The key a token stands for, until the token ends. Raises KeyError, TypeError, ValueError for claims of another shape."""
    customer, scopes = claims["customer_id"], claims.get("scopes") or ()
    if not all(isinstance(claims[name], str) for name in ("tenant_id", "key_id", "jti")):
        raise TypeError("tenant_id, key_id and jti are text")
    if customer is not None and not isinstance(customer, str):
        raise TypeError("customer_id is text")
    return KeyRecord(
        key_id=claims["key_id"],
        tenant_id=claims["tenant_id"],
        customer_id=customer,
        environment="live" if claims["environment"] == "live" else "test",
        scopes=tuple(scopes.split() if isinstance(scopes, str) else map(str, scopes)),
        ip_ranges=tuple(map(str, claims.get("ip_ranges") or ())),
        until=(int(claims["exp"]) + SKEW_SECONDS) * SECOND,
    )
