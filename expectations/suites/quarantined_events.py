"""quarantined_events: what did not pass, with its reason; together with the validated events it is all that arrived."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    here, kept = frame.select("raw_seq"), related["validated_events"].select("raw_seq")
    raw = related["raw_events"].select("raw_seq", "tenant_id", "door")
    return [
        Cross(
            "nothing_lost",
            "hold, together with validated_events, every raw event",
            raw.join(here, on="raw_seq", how="anti").join(kept, on="raw_seq", how="anti"),
        ),
        Cross(
            "not_kept_as_well",
            "hold no event that was also validated",
            here.join(kept, on="raw_seq", how="semi"),
        ),
    ]


SUITE = Suite("quarantined_events", related=("raw_events", "validated_events"), crosses=_crosses)
