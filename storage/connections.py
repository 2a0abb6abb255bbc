"""Connections to Redis: one server, or a cluster. Put here: how they are made and what differs. Keep out: what is kept there.

A URL `redis+cluster://` (`rediss+cluster://` with TLS) names one node of a cluster, which tells of the others. All keys of a tenant carry its
hash tag, so each tenant lives in one node; the few that carry none (keys by their hash, the lists of tenants, tokens) are asked for one by one.
"""

from __future__ import annotations

from typing import Any, cast

from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ClusterDownError, RedisClusterException
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer

_CONNECTIONS = 64
_CLUSTER = "+cluster://"
_AWAY = (NoConnection, NoAnswer, ClusterDownError, OSError)


class _Cluster:
    """A client of a cluster that connects when it is first used, and says in Redis' own way that the cluster is away."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url, self._options = url, options
        self._found: RedisCluster | None = None

    def __getattr__(self, name: str) -> Any:
        try:
            if self._found is None:
                self._found = RedisCluster.from_url(self._url, **self._options)
            return getattr(self._found, name)
        except RedisClusterException as error:
            raise NoConnection(str(error)) from error

    def __enter__(self) -> _Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        if self._found is not None:
            self._found.close()


class _AsyncCluster(AsyncRedisCluster):
    """`_Cluster` for the event loop."""

    async def initialize(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise NoConnection(str(error)) from error


def connect(url: str, **options: Any) -> Redis:
    """A client; it connects when first used."""
    if _CLUSTER not in url:
        return Redis.from_url(url, **options)
    return cast(Redis, _Cluster(url.replace(_CLUSTER, "://", 1), options))


def connect_async(url: str) -> AsyncRedis:
    """A client for the event loop, for many requests at once; it connects when first used."""
    if _CLUSTER in url:
        cluster = _AsyncCluster.from_url(
            url.replace(_CLUSTER, "://", 1),
            max_connections=_CONNECTIONS,
            socket_connect_timeout=1,
            socket_timeout=5,
            cluster_error_retry_attempts=2,
        )
        return cast(AsyncRedis, cluster)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=2,
        socket_connect_timeout=1,
        socket_timeout=5,
        # Sending a request to the log twice doubles nothing, so one quick retry hides a dropped connection.
        retry=Retry(ConstantBackoff(0.05), 1),
    )
    return AsyncRedis.from_pool(pool)


def is_cluster(redis: Redis | AsyncRedis) -> bool:
    """Whether the client is one of a cluster."""
    return isinstance(redis, _Cluster | RedisCluster | AsyncRedisCluster)


async def close_async(redis: AsyncRedis) -> None:
    """Close all its connections."""
    await redis.aclose()
    if not is_cluster(redis):
        await redis.connection_pool.disconnect()


def settings_of(redis: Redis, pattern: str) -> list[dict[Any, Any]]:
    """What every server of it says to CONFIG GET. A node of a cluster that does not answer takes nothing either, and is left out."""
    if not is_cluster(redis):
        return [redis.config_get(pattern)]
    found: list[dict[Any, Any]] = []
    failure: Exception | None = None
    for node in cast(Any, redis).get_primaries():
        try:
            found.append(redis.config_get(pattern, target_nodes=node))
        except _AWAY as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found


async def settings_of_async(redis: AsyncRedis, pattern: str) -> list[dict[Any, Any]]:
    """`settings_of` for the event loop."""
    if not is_cluster(redis):
        return [await redis.config_get(pattern)]
    found: list[dict[Any, Any]] = []
    failure: Exception | None = None
    await cast(Any, redis).initialize()
    for node in cast(Any, redis).get_primaries():
        try:
            found.append(await redis.config_get(pattern, target_nodes=node))
        except _AWAY as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found
