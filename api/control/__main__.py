"""`python -m api.control`: the management door on 127.0.0.1:AFORO_CONTROL_PORT. Several may serve one port."""

from __future__ import annotations

import gc
import socket
import sys

import uvicorn

from api import logs
from api.control.app import create_app
from api.control.settings import ControlSettings


def main() -> None:
    """Serve until told to stop."""
    logs.configure("control")
    settings = ControlSettings.from_env()
    # Requests are worked on in threads: a busy one lets the others in after half a millisecond instead of five.
    sys.setswitchinterval(0.0005)
    app = create_app(settings)
    gc.collect()
    gc.freeze()  # what exists at the start lives as long as the process; looking through it again and again is a pause
    config = uvicorn.Config(
        app,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(config).run(sockets=[_listening(settings)])


def _listening(settings: ControlSettings) -> socket.socket:
    """A socket that several processes of this door may listen with at once: the kernel deals out connections."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((settings.host, settings.port))
    return listening


if __name__ == "__main__":
    main()
