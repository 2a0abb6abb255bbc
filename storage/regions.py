"""The regions: each has edges and a log of its own. Put here: which there are, and doing something in one that may be away. Keep out:
what is done there.

`AFORO_REDIS_URL` is the region this process runs in; `AFORO_REGION_REDIS_URLS` names the others, separated by blanks.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping

from redis import Redis
from redis.exceptions import RedisError

from storage.connections import connect

log = logging.getLogger(__name__)
_PAUSE = 5.0


class Region:
    """Another region's Redis. While it is away, nobody waits for it again and again."""

    def __init__(self, url: str) -> None:
        self.redis = connect(url, socket_timeout=10, socket_connect_timeout=2)
        self._away_until = 0.0

    def does(self, work: Callable[[Redis], object]) -> bool:
        """Whether the work was done there."""
        if time.monotonic() < self._away_until:
            return False
        try:
            work(self.redis)
        except (RedisError, OSError) as error:
            log.warning("another region does not answer: %s", error)
            self._away_until = time.monotonic() + _PAUSE
            return False
        return True


def other_regions(env: Mapping[str, str] | None = None) -> list[Region]:
    """All but this one; connected when first used."""
    found = os.environ if env is None else env
    urls = found.get("AFORO_REGION_REDIS_URLS", "").split()
    return [Region(url) for url in urls]
