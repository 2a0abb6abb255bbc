"""Tokens from API keys over HTTP, as an OAuth client and a gateway ask for them."""

from __future__ import annotations

import base64
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from redis import Redis

from storage import hot_state
from storage.database import session_scope
from storage.rights_flow import RightsFlow
from tests.api.control.conftest import Api
from tests.api.control.test_api_keys import AGENT, KEYS
from tests.api.edge.world import event, serving
from tests.harness import wait_until
from tests.storage.worlds import ACME, applied

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def shop(api: Api) -> Api:
    """Acme with its customers."""
    with session_scope(api.database_url) as session:
        applied(session, ACME)
    return api


@pytest.fixture
def agent(shop: Api) -> dict[str, Any]:
    """A key of an agent, as it was shown once."""
    made: dict[str, Any] = shop.made(KEYS, AGENT | {"environment": "test", "scopes": ["meter", "access"]})
    return made


def credentials(key: dict[str, Any]) -> dict[str, str]:
    return GRANT | {"client_id": key["clientId"], "client_secret": key["clientSecret"]}


def form(api: Api, **fields: str) -> httpx.Response:
    return api.client.post("/oauth/token", data=fields)


def read(api: Api, token: str) -> dict[str, Any]:
    """The claims, checked with the published keys."""
    keys = {key["kid"]: key for key in api.client.get("/.well-known/jwks.json").json()["keys"]}
    key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]]).key
    claims: dict[str, Any] = jwt.decode(token, key, ["RS256"], issuer="https://auth.aforo.ai")
    return claims


def test_a_client_gets_a_token_that_says_who_it_is(shop: Api, agent: dict[str, Any]) -> None:
    answer = form(shop, **credentials(agent))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "meter access")
    claims = read(shop, body["access_token"])
    expected = {"sub": "agt_helper", "tenant_id": "acme", "customer_id": "ann", "key_id": agent["id"]}
    expected |= {"offering_ids": ["pro"], "subscription_ids": ["sub_ann"]}  # type: ignore[dict-item]
    assert claims.items() >= (expected | {"scopes": ["meter", "access"], "environment": "sandbox"}).items()
    assert claims["exp"] - claims["iat"] == 900 and len(claims["jti"]) == 32


def test_json_basic_and_a_bearer_key_do_as_well(shop: Api, agent: dict[str, Any]) -> None:
    pair = f"{agent['clientId']}:{agent['clientSecret']}"
    basic = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    bearer = {"Authorization": f"Bearer {agent['clientSecret']}"}
    assert shop.client.post("/oauth/token", json=credentials(agent)).status_code == 200
    for headers in (basic, bearer):
        assert shop.client.post("/oauth/token", data=GRANT, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_secret": "sk_live_" + "x" * 40}, 401, "invalid_client"),
        ({"client_id": "cli_other"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"scope": "admin"}, 400, "invalid_scope"),
    ],
)
def test_a_refusal_has_the_shape_of_oauth(
    shop: Api, agent: dict[str, Any], changed: dict[str, str], status: int, error: str
) -> None:
    answer = form(shop, **(credentials(agent) | changed))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}


def test_a_token_may_hold_fewer_scopes_than_its_key(shop: Api, agent: dict[str, Any]) -> None:
    token = form(shop, **credentials(agent), scope="access").json()["access_token"]
    assert read(shop, token)["scopes"] == ["access"]


def test_a_revoked_key_gets_no_token(shop: Api, agent: dict[str, Any]) -> None:
    shop.made(f"{KEYS}/{agent['id']}/revoke")
    assert form(shop, **credentials(agent)).status_code == 401


def test_both_secrets_work_while_a_key_is_rotated(shop: Api, agent: dict[str, Any]) -> None:
    new = shop.made(f"{KEYS}/{agent['id']}/rotate")
    assert form(shop, **credentials(new)).json()["expires_in"] == 900
    assert form(shop, **credentials(agent)).json()["expires_in"] <= 300


def test_the_signing_key_is_its_owners_alone_and_old_tokens_outlive_it(
    shop: Api, agent: dict[str, Any]
) -> None:
    before = form(shop, **credentials(agent)).json()["access_token"]
    assert stat.S_IMODE((shop.home / "secrets" / "token_keys.json").stat().st_mode) == 0o600
    assert shop.post("/internal/v1/auth/rotate-signing-key", role="OWNER").status_code == 403
    kid = jwt.get_unverified_header(before)["kid"]
    public = [key["kid"] for key in shop.made("/internal/v1/auth/rotate-signing-key", tenant="")["keys"]]
    assert len(public) >= 2 and kid in public
    after = form(shop, **credentials(agent)).json()["access_token"]
    assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
    assert read(shop, before)["key_id"] == read(shop, after)["key_id"]


def test_a_revoked_token_is_told_to_gateways(shop: Api, agent: dict[str, Any]) -> None:
    token = form(shop, **credentials(agent)).json()["access_token"]
    check = f"/internal/v1/auth/token-check?jti={read(shop, token)['jti']}&keyId={agent['id']}"
    assert shop.client.get(check).json() == {"revoked": False}
    assert shop.client.post("/oauth/revoke", data={"token": token}).status_code == 200
    assert shop.client.get(check).json() == {"revoked": True}
    assert shop.client.post("/oauth/revoke", data={"token": "nonsense"}).status_code == 200
    assert shop.client.post("/oauth/revoke", data={}).json()["error"] == "invalid_request"


@asynccontextmanager
async def publishing(shop: Api, redis_url: str) -> AsyncIterator[None]:
    """As the process beside the door does."""
    flow = RightsFlow(shop.database_url, redis_url)
    flow.start()
    yield
    flow.stop()


async def test_what_is_decided_here_holds_at_the_edge(
    shop: Api, agent: dict[str, Any], redis_url: str
) -> None:
    token = form(shop, **credentials(agent)).json()["access_token"]
    by_key, by_token = ({"Authorization": f"Bearer {each}"} for each in (agent["clientSecret"], token))
    use = event(None, customerId="ann", metricName="calls")
    async with publishing(shop, redis_url), serving(redis_url) as edge:
        with Redis.from_url(redis_url) as redis:
            wait_until(
                lambda: _keys(redis) == 3 and redis.exists(hot_state.PUBLISHED),
                what="the key to be published",
            )
        for headers in (by_key, by_token):
            assert (await edge.post("/v1/meter", json=use, headers=headers)).status_code == 202
        shop.made(f"{KEYS}/{agent['id']}/revoke")
        deadline = time.monotonic() + 30
        for headers, code in ((by_key, "UNAUTHORIZED"), (by_token, "CLIENT_REVOKED")):
            answer = await edge.post("/v1/meter", json=use, headers=headers)
            while answer.status_code == 202 and time.monotonic() < deadline:
                answer = await edge.post("/v1/meter", json=use, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, code)


def _keys(redis: Redis) -> int:
    return len(list(hot_state.known_keys(redis, "acme")))
