"""The load by a compiled client (timetable.c). Put here: building it where there is a C compiler, running it. Keep out: which requests.

A client in Python takes as much of the processors as the edge does and notices an answer when it is free to; that is measured too.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Measured

_SOURCE = Path(__file__).with_name("timetable.c")
_KINDS = {"access": b"a", "meter": b"m", "empty": b"e"}
Plan = Sequence[tuple[float, str, bytes]]


@contextmanager
def client() -> Iterator[Path | None]:
    """The program, built for as long as it is needed; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="aforo-bench-") as folder:
        program = Path(folder) / "timetable"
        subprocess.run([compiler, "-O2", "-o", str(program), str(_SOURCE)], check=True)
        yield program


def at_their_times(program: Path, port: int, plan: Plan, *, connections: int = 32) -> Measured:
    """Send each (second, kind, request) when its time has come. Latencies are from when a request was due, not from when it could be
    sent."""
    written = b"".join(struct.pack("=dcI", at, _KINDS[kind], len(sent)) + sent for at, kind, sent in plan)
    command = [str(program), str(port), str(connections)]
    told = subprocess.run(command, input=written, capture_output=True, check=True).stdout.decode()
    names = {letter.decode(): kind for kind, letter in _KINDS.items()}
    measured = Measured(seconds=plan[-1][0])
    for line in told.splitlines():
        letter, status, nanoseconds = line.split()
        measured.add(names[letter], int(nanoseconds) / 1e9, int(status))
    return measured
