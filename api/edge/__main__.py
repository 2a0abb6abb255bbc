"""`python -m api.edge`: the edge on 127.0.0.1:AFORO_EDGE_PORT."""

from __future__ import annotations

import uvicorn

from api.edge.settings import EdgeSettings


def main() -> None:
    """Serve until told to stop; requests under way are finished."""
    settings = EdgeSettings.from_env()
    uvicorn.run(
        "api.edge.app:app_from_env",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="api.edge.bounds:BoundedProtocol",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
