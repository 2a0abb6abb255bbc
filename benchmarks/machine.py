"""What a measurement ran on and how much memory it took. Keep out: what is measured."""

from __future__ import annotations

import os
import platform
import resource
from datetime import UTC, datetime
from pathlib import Path

import psutil


def peak_mib() -> float:
    """The most memory this process has held, in MiB. (On Linux getrusage would count the parent's share from before exec.)"""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1024**2


def describe() -> str:
    """Processor, cores, memory, system, Python and the day, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    parts = (
        _processor(),
        f"{os.cpu_count()} cores",
        f"{memory:.0f} GiB",
        platform.system(),
        f"Python {platform.python_version()}",
        datetime.now(UTC).strftime("%Y-%m-%d"),
    )
    return ", ".join(parts)


def busy(seconds: float = 3.0) -> float:
    """The share of all processors that other work takes just now: what is measured next has only the rest."""
    return psutil.cpu_percent(seconds) / 100


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
