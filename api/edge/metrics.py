"""The edge's numbers. Put here: `GET /metrics`, and what is asked of Redis for it. Keep out: counting (api.meters), how it is written
(api.monitoring)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import Metric
from redis.exceptions import RedisError

from api.edge.service import EdgeService
from api.monitoring import Worker, admit, exposed, families, gauge, of_each
from domain.instant import SECOND
from storage import event_log, upload_jobs

PREFIX = "aforo_edge"
_MOST_LOGS = 2_000
_SYNC_EVENTS = ("aof-fsync-always", "aof-write", "fork")


def add_metrics_route(app: FastAPI, service: EdgeService, worker: Worker) -> None:
    """GET /metrics."""
    meters = service.meters
    meters.gauge("redis_connections", "Connections to Redis in use.", lambda: _connections(service))

    @app.get("/metrics", tags=["health"], response_model=None)
    async def metrics(request: Request) -> Response:
        """Numbers for Prometheus, in its text or as OpenMetrics; from AFORO_METRICS_FROM only."""
        admit(request, service.settings.metrics_from)
        of_redis = await _of_redis(service)
        shown = [*families(PREFIX, worker.all()), *of_redis]
        text, media_type = exposed(shown, request.headers.get("accept"))
        return Response(text, media_type=media_type)


def _connections(service: EdgeService) -> float:
    return float(len(getattr(service.redis.connection_pool, "_in_use_connections", ())))


async def _of_redis(service: EdgeService) -> list[Metric]:
    """What Redis says of itself and of the log; where it does not answer, that alone."""
    up = "aforo_redis_up"
    try:
        found = [*await _server(service), *await _log(service)]
    except (RedisError, OSError):
        return [gauge(up, "Whether Redis answers.", 0)]
    return [gauge(up, "Whether Redis answers.", 1), *found]


async def _server(service: EdgeService) -> Iterator[Metric]:
    began = time.perf_counter()
    await service.redis.ping()
    ping = time.perf_counter() - began
    pipeline = service.redis.pipeline(transaction=False)
    pipeline.info("memory")
    pipeline.info("persistence")
    pipeline.execute_command("LATENCY", "LATEST")
    memory, persistence, latest = await pipeline.execute(raise_on_error=False)
    return _told(ping, memory, persistence, latest)


def _told(ping: float, memory: Any, persistence: Any, latest: Any) -> Iterator[Metric]:
    """Managed servers do not tell everything: what is missing is left out."""
    yield gauge("aforo_redis_ping_seconds", "A round trip to Redis that does nothing.", ping)
    named = (
        (memory, "used_memory", "aforo_redis_memory_bytes", "Memory Redis uses."),
        (memory, "maxmemory", "aforo_redis_memory_limit_bytes", "Memory Redis may use; 0: all there is."),
        (persistence, "aof_current_size", "aforo_log_file_bytes", "Size of Redis' append-only file."),
        (persistence, "aof_base_size", "aforo_log_file_base_bytes", "Its size when it was last rewritten."),
        (persistence, "aof_delayed_fsync", "aforo_log_delayed_syncs", "Syncs of the file that were put off."),
        (persistence, "aof_rewrite_in_progress", "aforo_log_rewrite_in_progress", "Whether it is being rewritten."),
    )  # fmt: skip
    for section, field, name, about in named:
        if isinstance(section, dict) and field in section:
            yield gauge(name, about, float(section[field]))
    if isinstance(latest, list):
        slow = {name: each for each in latest if (name := _text(each[0])) in _SYNC_EVENTS}
        if slow:
            about = "Slowest sync, write or fork of Redis of late (LATENCY LATEST)."
            yield of_each(
                "aforo_redis_slowest_seconds", about, "event", {n: each[3] / 1000 for n, each in slow.items()}
            )


async def _log(service: EdgeService) -> list[Metric]:
    """How much waits for the drain, and for how long."""
    redis = service.redis
    members: Any = await redis.smembers(event_log.TENANTS)
    tenants = sorted(_text(each) for each in members)[:_MOST_LOGS]
    pipeline = redis.pipeline(transaction=False)
    for tenant in tenants:
        pipeline.xlen(event_log.log_key(tenant))
        pipeline.xrange(event_log.log_key(tenant), count=1)
    answers = await pipeline.execute() if tenants else []
    lengths, firsts = answers[::2], [page[0] for page in answers[1::2] if page]
    now = service.stamp()
    oldest = min((int(fields[b"r"]) for _, fields in firsts), default=now)
    jobs = await upload_jobs.pending(redis)
    return [
        gauge("aforo_log_entries", "Requests in the log that are not drained.", sum(lengths)),
        gauge("aforo_log_longest_entries", "The same of the tenant with the most.", max(lengths, default=0)),
        gauge(
            "aforo_log_lag_seconds", "Age of the oldest of them: the drain's lag.", (now - oldest) / SECOND
        ),
        gauge("aforo_log_tenants", "Tenants with a log.", len(members)),
        gauge("aforo_uploads_pending", "Uploaded files that are not worked off.", len(jobs)),
    ]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
