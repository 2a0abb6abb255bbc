"""The management door really served, on loopback, for tests that are about clients. Keep out: worlds, assertions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from api.control.app import create_app
from api.control.settings import ControlSettings
from stack.embedded import free_port
from tests.harness import wait_until


@contextmanager
def control_door(database_url: str, redis_url: str, home: Path) -> Iterator[str]:
    """Its base URL; the server is stopped on leaving."""
    app, port = create_app(ControlSettings(database_url, home, redis_url)), free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="control door", daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), what="the control door to listen")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
