"""`python -m api.control`: the management door on 127.0.0.1:AFORO_CONTROL_PORT."""

from __future__ import annotations

import uvicorn

from api.control.app import create_app
from api.control.settings import ControlSettings


def main() -> None:
    """Serve until told to stop."""
    settings = ControlSettings.from_env()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
