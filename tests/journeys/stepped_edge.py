"""`python -m tests.journeys.stepped_edge`: the edge on a machine whose clock jumps. Put here: the process, and its clock: the real one
and as many seconds as the file AFORO_CLOCK_FILE says."""

from __future__ import annotations

import os
import time
from pathlib import Path

_real = time.time_ns
_file = Path(os.environ["AFORO_CLOCK_FILE"])


def _stepped() -> int:
    return _real() + int(_file.read_text()) * 1_000_000_000


if __name__ == "__main__":
    time.time_ns = _stepped
    time.time = lambda: _stepped() / 1e9

    from api.edge.__main__ import main

    main()
