"""Events with the charges of their own that metering gives them. Put here: that column. Keep out: assertions."""

from __future__ import annotations

from typing import Any

import polars as pl

from domain.pricing.percentage import event_charge
from transforms.frames import EXACT


def with_event_charges(metered: pl.LazyFrame, line: dict[str, Any]) -> pl.LazyFrame:
    """METERED_EVENTS of one line with `event_charge`, where the line's terms charge event by event."""
    own = {"fee": line["per_event_fee"], "least": line["per_event_min"], "greatest": line["per_event_max"]}
    if all(term is None for term in own.values()):
        return metered
    events = metered.collect()
    charges = [event_charge(quantity, rate=line["rate"], **own) for quantity in events["quantity"]]
    return events.with_columns(pl.Series("event_charge", charges, dtype=EXACT)).lazy()
