"""The regions: each has edges and a log of its own. Put here: which there are. Keep out: what is done with them.

`AFORO_REDIS_URL` is the region this process runs in; `AFORO_REGION_REDIS_URLS` names the others, separated by blanks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from redis import Redis


def other_regions(env: Mapping[str, str] | None = None) -> list[Redis]:
    """Clients of the other regions' Redis; connected when first used. One that does not answer is given up on soon."""
    found = os.environ if env is None else env
    urls = found.get("AFORO_REGION_REDIS_URLS", "").split()
    return [Redis.from_url(url, socket_timeout=10, socket_connect_timeout=2) for url in urls]
