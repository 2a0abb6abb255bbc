"""`python -m api.control.rights`: publishes what changes at the management door to the edge's hot state, until told to stop.

A process of its own, so that a tenant with a hundred thousand customers being published anew slows no request down. Put here:
the process. Keep out: publishing (storage/rights_flow.py).
"""

from __future__ import annotations

import signal
import threading

from api import logs
from api.control.settings import ControlSettings
from storage.rights_flow import RightsFlow


def main() -> None:
    """Publish until SIGTERM or SIGINT; what is being published then is finished first."""
    logs.configure("rights")
    settings = ControlSettings.from_env()
    if settings.redis_url is None:
        raise SystemExit("AFORO_REDIS_URL is not set: there is no hot state to publish to")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, frame: stop.set())
    flow = RightsFlow(settings.database_url, settings.redis_url)
    flow.start()
    stop.wait()
    flow.stop()


if __name__ == "__main__":
    main()
