"""The edge's memory while events go through it: does it grow? Put here: the load and the samples. Keep out: how it is written down.

The log is emptied as the drain would do it, and keys are remembered for a minute, so that what Valkey holds is bounded too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil

from benchmarks.edge import BATCH, _batches, _edge, _empty_log, asyncio_run
from benchmarks.load import full_load

REMEMBER_SECONDS = 60
_SLICE = 2.0
_MIB = 1024 * 1024
_SAMPLES = 20


def measure(events: int, log: Any, *, workers: int = 1) -> dict[str, Any]:
    """Samples of (events so far, MiB of the edge, MiB of Valkey), about twenty, and events a second all in all."""
    os.environ["AFORO_REMEMBER_SECONDS"] = str(REMEMBER_SECONDS)
    samples: list[tuple[int, float, float]] = []
    sent, seconds = 0, 0.0
    with _edge(workers) as (port, valkey_url):
        load = _batches()
        edge, valkey = _processes()
        while sent < events:
            done = asyncio_run(full_load(port, load, connections=4, seconds=_SLICE))
            assert set(done.statuses) == {202}, done.statuses
            sent += done.statuses[202] * BATCH
            seconds += done.seconds
            _empty_log(valkey_url)
            if sent >= len(samples) * events / _SAMPLES:
                samples.append((sent, _resident(edge), _resident(valkey)))
                log("{:,} events: edge {:.0f} MiB, Valkey {:.0f} MiB".format(*samples[-1]))
    return {"samples": samples, "rate": sent / seconds}


def growth(samples: list[tuple[int, float, float]]) -> float:
    """MiB the edge has at the end beyond what it had after the first tenth, when its caches are warm."""
    warm = next(sample for sample in samples if sample[0] >= samples[-1][0] / 10)
    return samples[-1][1] - warm[1]


def _processes() -> tuple[list[psutil.Process], list[psutil.Process]]:
    children = psutil.Process().children(recursive=True)
    names = [(child, " ".join(child.cmdline())) for child in children]
    valkey = [child for child, name in names if "valkey" in name]
    return [child for child, _ in names if child not in valkey], valkey


def _resident(processes: list[psutil.Process]) -> float:
    return sum(_sizes(processes)) / _MIB


def _sizes(processes: list[psutil.Process]) -> Iterator[int]:
    for process in processes:
        yield process.memory_info().rss
