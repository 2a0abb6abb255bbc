"""Which suite guards which asset. Put here: the one list. Keep out: expectations."""

from __future__ import annotations

from importlib import import_module

from expectations.suite import Suite
from transforms.frames import TABLES


def suite_of(asset: str) -> Suite:
    """The suite of an asset: `expectations/suites/<asset>.py`. An asset without one is an error."""
    suite: Suite = import_module(f"expectations.suites.{asset}").SUITE
    return suite


def suites() -> dict[str, Suite]:
    """All suites by asset."""
    return {name: suite_of(name) for name in TABLES}
