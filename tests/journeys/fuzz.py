"""Bytes no client should send. Put here: sound requests, ways to spoil them, sending them. Keep out: what must come of it."""

from __future__ import annotations

import gzip
import json
import random
import select
import socket
import string
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.api.edge.wire import raw
from tests.api.edge.world import event

Spoil = Callable[[bytes, random.Random], bytes]

COMPOUND = {
    "correlationId": "c1",
    "customerId": "acme",
    "occurredAt": "2026-11-21T10:00:00Z",
    "measurements": [{"metricName": "api_calls", "quantity": 1, "dimensionKey": "a"}],
}
CLOUD = {
    "specversion": "1.0", "id": "1", "source": "/fuzz", "type": "api_calls", "subject": "acme", "data": {"quantity": 1},
}  # fmt: skip


def sound() -> list[bytes]:
    """A good request for every door."""
    batch = {"events": [event(f"f{n}") for n in range(5)]}
    packed = gzip.compress(json.dumps(batch).encode())
    cloud = {"Content-Type": "application/cloudevents+json"}
    return [
        raw("POST", "/v1/meter", event("f1", occurredAt="2026-11-21T10:00:00.123456789Z")),
        raw("POST", "/v1/ingest", event("f2", quantity="1e3")),
        raw("POST", "/v1/ingest/batch", batch),
        raw("POST", "/v1/ingest/batch", packed, Content_Encoding="gzip"),
        raw("POST", "/v1/ingest/events", batch),
        raw("POST", "/v1/events", {"event": "api_calls", "customer_id": "acme"}),
        raw("POST", "/v1/ingest", CLOUD, **cloud),
        raw("POST", "/v1/ingest/batch", [CLOUD], Content_Type="application/cloudevents-batch+json"),
        raw("POST", "/api/v1/ingest/compound", COMPOUND),
        raw("POST", "/api/v1/ingest/compound/batch", {"events": [COMPOUND]}),
        raw("POST", "/v1/canAccess", {"featureKey": "calls", "customerId": "acme"}),
        raw("POST", "/v1/canAccess", {"customerId": "acme", "featureKeys": ["calls", "sso"]}),
        raw("GET", "/v1/entitlements?customerId=acme"),
        raw("GET", "/v1/check/t1?customerId=acme"),
        raw("POST", "/api/v1/quota/check", {"customerId": "acme", "metricName": "api_calls"}),
        raw("GET", "/internal/v1/margin-guard/quick-check?customerId=acme"),
        raw("GET", "/internal/v1/auth/token-check?jti=x&keyId=y"),
        raw("POST", "/v1/reservations", {"customerId": "acme", "metricName": "api_calls", "quantity": 1}),
        raw("POST", "/v1/ingest/webhook/whs_none", {"a": 1}),
        raw("GET", "/v1/sessions"),
        raw("GET", "/readyz"),
        chunked("/v1/ingest/batch", json.dumps(batch).encode(), 40),
        upload(b"customerId,metricName,quantity\nacme,api_calls,1\n"),
    ]


def chunked(path: str, body: bytes, size: int) -> bytes:
    head = raw("POST", path, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def upload(content: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="u.csv"\r\n\r\n%s\r\n--b--\r\n'
    return raw("POST", "/v1/ingest/upload", part % content, Content_Type="multipart/form-data; boundary=b")


def with_body(request: bytes, body: bytes) -> bytes:
    """Another body under the same head, its length told rightly."""
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith((b"content-length", b"transfer-encoding"))]
    return b"\r\n".join([*kept, b"Content-Length: %d" % len(body), b"", b""]) + body


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def truncated(request: bytes, dice: random.Random) -> bytes:
    return request[: dice.randrange(len(request))]


def flipped(request: bytes, dice: random.Random) -> bytes:
    spoiled = bytearray(request)
    for _ in range(dice.randrange(1, 8)):
        spoiled[dice.randrange(len(spoiled))] = dice.randrange(256)
    return bytes(spoiled)


def stuffed(request: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + dice.randbytes(dice.choice([1, 3, 200, 5000])) + request[at:]


def repeated(request: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(request))
    part = request[start : start + dice.randrange(1, 200)]
    return request[:start] + part * dice.choice([2, 10, 500]) + request[start:]


def other_body(request: bytes, dice: random.Random) -> bytes:
    """Spoiled only inside, so that it gets past the parser of HTTP."""
    body = body_of(request) or b"{}"
    return with_body(request, dice.choice([truncated, flipped, stuffed, repeated])(body, dice))


def odd_json(request: bytes, dice: random.Random) -> bytes:
    """JSON with values of other kinds in the right places."""
    try:
        sent = json.loads(body_of(request))
    except ValueError:
        return other_body(request, dice)
    text = json.dumps(_with_odd_values(sent, dice))
    return with_body(request, text.encode("utf-8", "surrogatepass"))


ODD: list[Any] = [
    None, True, -1, 0, 1e308, 10**400, "", " ", "\0", "\ud800", "9" * 600, "NaN", "1e999999999", [], {}, [[]], {"": ""},
    "2026-13-45", -(2**63), 2**64, "\u202e", "x" * 100_000, [None] * 50,
]  # fmt: skip


def _with_odd_values(sent: Any, dice: random.Random) -> Any:
    if dice.random() < 0.15:
        return dice.choice(ODD)
    if isinstance(sent, dict):
        return {name: _with_odd_values(value, dice) for name, value in sent.items() if dice.random() > 0.1}
    if isinstance(sent, list):
        return [_with_odd_values(value, dice) for value in sent]
    return sent


def deep(request: bytes, dice: random.Random) -> bytes:
    opening, closing = dice.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'{"events":[', b"]}")])
    depth = dice.choice([50, 900, 1100, 100_000])
    return with_body(request, opening * depth + b"1" + closing * depth * dice.randrange(2))


def huge_head(request: bytes, dice: random.Random) -> bytes:
    first, _, rest = request.partition(b"\r\n")
    size = dice.choice([8_000, 70_000, 2_000_000])
    lines = dice.choice(
        [b"X-Junk: " + b"a" * size + b"\r\n", b"".join(b"X-%d: b\r\n" % n for n in range(size // 10))]
    )
    return first + b"\r\n" + lines + rest


def odd_head(request: bytes, dice: random.Random) -> bytes:
    name = dice.choice(
        [
            b"Authorization: Bearer " + b"sk_live_" + "ü".encode(),
            b"Authorization: Bearer a.b.c",
            b"X-Tenant-Id: \xff\xfe",
            b"X-Request-Id: \x01",
            b"Content-Encoding: br",
            b"Content-Encoding: gzip, gzip",
            b"Content-Type: application/cloudevents+json; charset=\xff",
            b"Content-Type: multipart/form-data",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked, gzip",
            b"Expect: 100-continue",
            b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
            b"Upgrade: websocket\r\nConnection: Upgrade",
            b"Connection: " + b"close, " * 1000,
        ]
    )
    first, _, rest = request.partition(b"\r\n")
    return first + b"\r\n" + name + b"\r\n" + rest


def broken_chunks(request: bytes, dice: random.Random) -> bytes:
    whole = chunked("/v1/ingest/batch", body_of(request) or b"{}", dice.randrange(1, 50))
    head, _, body = whole.partition(b"\r\n\r\n")
    size = dice.choice([b"zz", b"-1", b"fffffffffffffffff", b"5;" + b"x" * 3000, b""])
    return dice.choice(
        [
            head + b"\r\n\r\n" + size + b"\r\n" + body,
            truncated(whole, dice),
            whole[:-2] + b"".join(b"T%d: x\r\n" % n for n in range(20_000)) + b"\r\n",
        ]
    )


def broken_gzip(request: bytes, dice: random.Random) -> bytes:
    packed = gzip.compress(body_of(request) or b"{}")
    spoiled = dice.choice([truncated, flipped, stuffed, lambda body, _: body + b"junk"])(packed, dice)
    first, _, rest = request.partition(b"\r\n")
    return with_body(first + b"\r\nContent-Encoding: gzip\r\n" + rest, spoiled)


def odd_path(request: bytes, dice: random.Random) -> bytes:
    method, _, rest = request.partition(b" ")
    junk = "".join(dice.choices(string.printable, k=dice.randrange(1, 30))).encode()
    path = dice.choice(
        [b"/%ff%fe", b"//", b"/v1/check/" + junk, b"/v1/" + b"a/" * 3000, b"*", b"http://x/", b"/\xff"]
    )
    return (
        dice.choice([method, b"BREW", b"OPTIONS", b"HEAD"])
        + b" "
        + path
        + b" HTTP/1.1\r\n"
        + rest.partition(b"\r\n")[2]
    )


SPOILS: list[Spoil] = [
    truncated, flipped, stuffed, repeated, other_body, odd_json, odd_json, deep, huge_head, odd_head, broken_chunks, broken_gzip,
    odd_path,
]  # fmt: skip


def exchange(port: int, sent: bytes, *, patience: float = 0.1) -> bytes:
    """What comes back until the other side hangs up, which it has to when nothing more will come from here. patience: how long the first
    answer may take before that. Raises TimeoutError."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as line:
        found = b""
        try:
            line.sendall(sent)
            if select.select([line], [], [], patience)[0]:
                found = line.recv(65536)
            line.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            pass  # it has hung up already; what it said may still be there
        with suppress(ConnectionResetError):
            while part := line.recv(65536):
                found += part
        return found


def statuses(answer: bytes) -> list[int]:
    """Of each answer on the connection."""
    found = []
    while answer.startswith(b"HTTP/1.1 "):
        found.append(int(answer[9:12]))
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ),
            0,
        )
        answer = rest[length:] if found[-1] >= 200 else rest
    return found
