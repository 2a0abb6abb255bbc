"""Making very many rows at once. Put here: what Python is told meanwhile. Keep out: the rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_rows() -> Iterator[None]:
    """No looking for garbage while rows are made that all stay: the more there are the longer each look takes, and it finds
    nothing. For all threads of the process."""
    was_looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_looking:
            gc.enable()
