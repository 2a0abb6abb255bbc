"""Routes that are answered without the framework's search, and answers that go out in one piece."""

import socket

import httpx
from fastapi.routing import APIRoute
from redis import Redis

from api.edge.app import create_app
from api.edge.direct import DirectApp, routes_of
from api.edge.settings import EdgeSettings
from api.envelope import Receive, Scope, Send
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


async def _small_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the header or the length that the path names."""
    name, _, value = scope["path"].strip("/").partition("/")
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    if name == "header":
        headers.append((b"x-said", b"a\r\nx-forged: yes" if value == "bad" else value.encode()))
    if name == "close":
        headers.append((b"connection", b"close"))
    if name == "open":
        headers.pop()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok" * (2 if name == "long" else 1)})


def test_usual_heads_go_out_as_they_are_and_others_are_looked_at() -> None:
    with wire.served(_small_app, lifespan="off") as port:

        def ask(path: str, method: str = "GET") -> wire.Answer:
            with wire.Line(port) as line:
                return line.send(wire.raw(method, path))

        usual = ask("/usual")
        assert (usual.status, usual.body, usual.headers["content-type"]) == (200, b"ok", "text/plain")
        assert "date" in usual.headers and "transfer-encoding" not in usual.headers
        assert ask("/header/fine").headers["x-said"] == "fine"
        assert b"x-forged" not in _all_said(port, wire.raw("GET", "/header/bad", Connection="close"))
        assert ask("/close").headers["connection"] == "close"
        assert ask("/open").headers["transfer-encoding"] == "chunked"
        with wire.Line(port) as line:
            for _ in range(3):
                assert line.send(wire.raw("GET", "/usual")).body == b"ok"


def test_an_answer_to_head_has_no_body() -> None:
    with wire.served(_small_app, lifespan="off") as port:
        head, _, body = _all_said(port, wire.raw("HEAD", "/usual", Connection="close")).partition(b"\r\n\r\n")
    assert (b"content-length: 2" in head, body) == (True, b"")


def _all_said(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        said = b""
        while part := connection.recv(65_536):
            said += part
    return said
