"""`python -m api.control`: the management door on 127.0.0.1:AFORO_CONTROL_PORT."""

from __future__ import annotations

import gc
import sys

import uvicorn

from api.control.app import create_app
from api.control.settings import ControlSettings


def main() -> None:
    """Serve until told to stop."""
    settings = ControlSettings.from_env()
    # Requests are worked on in threads: a busy one lets the others in after half a millisecond instead of five.
    sys.setswitchinterval(0.0005)
    app = create_app(settings)
    gc.collect()
    gc.freeze()  # what exists at the start lives as long as the process; looking through it again and again is a pause
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
