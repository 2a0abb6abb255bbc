"""What an API key is good for at the edge: where it may be used, for what, until when; and tokens made from it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from redis import Redis

from api.edge.auth import is_within
from domain.access import ACCESS, METER, KeyRecord, opens
from domain.token import ISSUER, SKEW_SECONDS, claims_of, record_of_claims
from storage import hot_state
from tests.api.edge.world import event, rights, serving, sha

KEY = KeyRecord("key_acme", "t1", "acme")
SIGNING = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGE = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def micros() -> int:
    return time.time_ns() // 1000


@pytest.fixture
async def edge(redis: Redis, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The edge, which looks at everything anew with each request and knows one signing key."""
    public = RSAAlgorithm.to_jwk(SIGNING.public_key(), as_dict=True) | {"kid": "k1", "alg": "RS256"}
    redis.hset(hot_state.TOKEN_KEYS, "k1", json.dumps(public))
    async with serving(redis_url, fresh_seconds=0.0) as client:
        yield client


def holding(redis: Redis, **fields: Any) -> dict[str, str]:
    """The header of a key with these fields, published."""
    world = rights()
    keys = world.keys | {sha("sk_live_other"): replace(KEY, key_id="key_other", **fields)}
    hot_state.publish(redis, replace(world, keys=keys))
    return {"Authorization": "Bearer sk_live_other"}


def token(
    key: rsa.RSAPrivateKey = SIGNING, kid: str = "k1", lived: int = 0, **changed: Any
) -> dict[str, str]:
    claims = claims_of(
        KEY, issuer=ISSUER, subject="app", jti="j1", now=micros() - lived * 1_000_000, scopes=(),
        subscriptions=("sub_1",), offerings=("pro",),
    )  # fmt: skip
    said = {name: value for name, value in (claims | changed).items() if value is not ...}
    return {"Authorization": "Bearer " + jwt.encode(said, key, "RS256", headers={"kid": kid})}


async def meter(edge: httpx.AsyncClient, headers: dict[str, str]) -> tuple[int, str | None]:
    answer = await edge.post("/v1/meter", json=event(None), headers=headers)
    return answer.status_code, answer.json().get("code")


async def ask(edge: httpx.AsyncClient, headers: dict[str, str]) -> tuple[int, str | None]:
    answer = await edge.post("/v1/canAccess", json={"featureKey": "sso"}, headers=headers)
    return answer.status_code, answer.json().get("code")


@pytest.mark.parametrize(
    ("scopes", "meters", "asks"),
    [
        ((), 202, 200),
        (("meter",), 202, 403),
        (("access",), 403, 200),
        (("meter", "access"), 202, 200),
        (("usage:write",), 202, 200),
        (("reports",), 403, 403),
    ],
)
async def test_a_key_opens_what_its_scopes_say(
    edge: httpx.AsyncClient, redis: Redis, scopes: tuple[str, ...], meters: int, asks: int
) -> None:
    held = holding(redis, scopes=scopes)
    assert (await meter(edge, held))[0] == meters and (await ask(edge, held))[0] == asks
    assert opens(scopes, METER) is (meters == 202) and opens(scopes, ACCESS) is (asks == 200)


@pytest.mark.parametrize(
    ("ranges", "status"), [(("127.0.0.0/8", "203.0.113.0/24"), 202), (("192.0.2.0/24",), 403)]
)
async def test_a_key_is_good_from_its_addresses_only(
    edge: httpx.AsyncClient, redis: Redis, ranges: tuple[str, ...], status: int
) -> None:
    assert (await meter(edge, holding(redis, ip_ranges=ranges)))[0] == status


def test_an_address_is_the_same_in_either_writing() -> None:
    assert is_within("::ffff:192.0.2.7", ("192.0.2.0/24",)) and is_within("2001:db8::1", ("2001:db8::/32",))
    assert not is_within("192.0.3.7", ("192.0.2.0/24",)) and not is_within("somewhere", ("0.0.0.0/0",))


async def test_a_key_stops_at_its_instant_though_nothing_is_published(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, fresh_seconds=3600.0) as edge:
        held = holding(redis, until=micros() + 400_000)
        assert (await meter(edge, held))[0] == 202
        while (answer := await meter(edge, held))[0] == 202:
            pass
    assert answer == (401, "UNAUTHORIZED")


async def test_an_operator_key_is_told_where_it_belongs(edge: httpx.AsyncClient) -> None:
    answer = await edge.post("/v1/meter", json=event(), headers={"Authorization": "Bearer afo_" + "x" * 40})
    assert answer.status_code == 401 and "management" in answer.json()["detail"]


async def test_a_token_does_what_its_key_does(edge: httpx.AsyncClient) -> None:
    assert await meter(edge, token()) == (202, None)
    assert await ask(edge, token()) == (200, None)
    assert await meter(edge, token(scopes=["access"])) == (403, "SCOPE_MISSING")
    assert await meter(edge, token(scopes="access meter")) == (202, None)
    assert await meter(edge, token(tenant_id="t2") | {"X-Tenant-Id": "t1"}) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer a.b.c"}, "MALFORMED_TOKEN"),
        (token(jti=...), "MALFORMED_TOKEN"),
        (token(tenant_id=7), "MALFORMED_TOKEN"),
        (token(customer_id=...), "MALFORMED_TOKEN"),
        (token(iss="https://elsewhere.example"), "INVALID_ISSUER"),
        (token(key=STRANGE), "INVALID_SIGNATURE"),
        (token(kid="k2"), "INVALID_SIGNATURE"),
        (token(lived=900 + SKEW_SECONDS + 2), "TOKEN_EXPIRED"),
    ],
)
async def test_a_bad_token_is_told_why(edge: httpx.AsyncClient, headers: dict[str, str], code: str) -> None:
    assert await meter(edge, headers) == (401, code)


async def test_an_unsigned_token_is_refused(edge: httpx.AsyncClient) -> None:
    claims = jwt.decode(token()["Authorization"].split()[1], options={"verify_signature": False})
    bare = jwt.encode(claims, None, "none", headers={"kid": "k1"})
    assert (await meter(edge, {"Authorization": f"Bearer {bare}"}))[0] == 401


async def test_clocks_may_differ_by_half_a_minute(edge: httpx.AsyncClient) -> None:
    assert await meter(edge, token(lived=900 + SKEW_SECONDS - 5)) == (202, None)


@pytest.mark.parametrize(
    ("blocked", "code"),
    [
        (hot_state.blocked_token_key("j1"), "TOKEN_REVOKED"),
        (hot_state.blocked_client_key("key_acme"), "CLIENT_REVOKED"),
    ],
)
async def test_a_revoked_token_stops(edge: httpx.AsyncClient, redis: Redis, blocked: str, code: str) -> None:
    held = token()
    assert (await meter(edge, held))[0] == 202
    redis.set(blocked, "1", ex=60)
    assert await meter(edge, held) == (401, code)
    assert await meter(edge, held) == (401, code)


def test_a_token_ends_with_its_key_and_says_what_the_key_is() -> None:
    key = replace(KEY, until=micros() + 60_000_000, environment="test", ip_ranges=("192.0.2.0/24",))
    claims = claims_of(
        key,
        issuer=ISSUER,
        subject="s",
        jti="j",
        now=micros(),
        scopes=("meter",),
        subscriptions=(),
        offerings=(),
    )
    assert 55 <= claims["exp"] - claims["iat"] <= 60 and claims["environment"] == "sandbox"
    read = record_of_claims(claims)
    assert replace(read, until=None) == replace(key, until=None, scopes=("meter",))
