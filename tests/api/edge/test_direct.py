"""Routes that are answered without the framework's search, and answers that go out in one piece."""

import socket

import httpx
from fastapi.routing import APIRoute
from redis import Redis

from api.edge.app import create_app
from api.edge.direct import DirectApp, routes_of
from api.edge.settings import EdgeSettings
from tests.api.edge import wire
from tests.api.edge.world import TENANT_KEY, serving


def test_every_route_without_parameters_is_answered_directly() -> None:
    app = create_app(EdgeSettings())
    static = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and "{" not in route.path
        for method in route.methods or ()
    }
    assert set(routes_of(app)) == static
    assert isinstance(app, DirectApp) and set(app.direct) == static


async def test_a_direct_answer_is_the_frameworks_answer(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url) as directly, serving(redis_url) as searched:
        app = searched._transport.app  # type: ignore[attr-defined]
        assert isinstance(app, DirectApp)
        app.direct = {}
        for method, path, body in (
            ("POST", "/v1/canAccess", {"customerId": "acme", "featureKey": "api_calls"}),
            ("POST", "/v1/canAccess", {"customerId": "acme"}),
            ("POST", "/v1/canAccess", []),
            ("POST", "/v1/ingest/batch", {"events": []}),
            ("POST", "/v1/meter", {"customerId": "acme"}),
            ("GET", "/v1/entitlements?customerId=acme", None),
            ("GET", "/healthz", None),
            ("GET", "/v1/canAccess", None),
            ("GET", "/v1/nothing", None),
        ):
            one = await directly.request(method, path, json=body)
            other = await searched.request(method, path, json=body)
            assert (one.status_code, one.json()) == (other.status_code, other.json()), path
            assert _kinds(one) == _kinds(other), path


def _kinds(answer: httpx.Response) -> set[str]:
    return set(answer.headers)


def test_head_and_body_of_an_answer_arrive_together(redis: Redis, redis_url: str) -> None:
    asked = b'{"customerId":"acme","featureKey":"api_calls"}'
    request = (
        f"POST /v1/canAccess HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {TENANT_KEY}\r\n"
        f"Content-Length: {len(asked)}\r\n\r\n"
    ).encode() + asked
    with (
        wire.listening(redis_url, access_seconds=5.0) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        for _ in range(20):
            connection.sendall(request)
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body.startswith(b'{"allowed":') and body.endswith(b"}")
