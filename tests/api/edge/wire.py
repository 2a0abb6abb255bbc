"""The edge on a socket, spoken to byte by byte. Put here: a listening edge and raw requests. Keep out: what is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn

from api.edge.app import create_app
from api.edge.protocol import EdgeProtocol
from api.edge.settings import EdgeSettings
from tests.api.edge.world import TENANT_KEY
from tests.harness import wait_until


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def listening(redis_url: str, **settings: Any) -> Iterator[int]:
    """An edge as it is served, in a thread; its port."""
    with served(create_app(EdgeSettings(redis_url=redis_url, **settings))) as port:
        yield port


@contextmanager
def served(app: Any, **options: Any) -> Iterator[int]:
    """An application on a socket, in a thread; its port."""
    config = uvicorn.Config(
        app,
        port=0,
        loop="asyncio",
        http=EdgeProtocol,
        access_log=False,
        log_level="error",
        server_header=False,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, what="the edge to listen")
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, raw: bytes) -> Answer:
        self.socket.sendall(raw)
        return self.read()

    def read(self) -> Answer:
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self.file.read(int(headers.get("content-length", "0"))))


def raw(method: str, path: str, body: Any = None, *, key: str | None = TENANT_KEY, **headers: str) -> bytes:
    """A request as bytes. body: bytes as they are, anything else as JSON. headers: `_` stands for `-`."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"Host": "edge", "Content-Type": "application/json", "Content-Length": str(len(content))}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode() + content
