"""What the three event assets record of themselves. Put here: metadata of an increment. Keep out: gates and storage."""

from typing import Any

import dagster as dg
import polars as pl

from assets._verdicts import verdict_metadata
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import run_gate
from storage.lake import Lake

INGESTING = "aforo:ingest"
"""Lock: one run at a time moves events, so that a second one waits instead of losing the race to commit."""

FIRST, LAST = "first_raw_seq", "last_raw_seq"


def increment(lake: Lake, name: str, first: int | None, last: int | None) -> pl.LazyFrame:
    """The table's rows from raw position `first` to `last`; no rows without them."""
    rows = lake.scan(name)
    return rows.filter(pl.col("raw_seq").is_between(first, last)) if first and last else rows.head(0)


def event_metadata(
    lake: Lake, name: str, first: int | None, last: int | None, *, docs: DataDocs, run: str
) -> dict[str, Any]:
    """Rows and quantities of an increment, the raw positions it covers, and its gate's verdict: judged as it lies in the
    lake, beside the same raw positions of its neighbours."""
    rows = increment(lake, name, first, last)
    suite = suite_of(name)
    related = {other: increment(lake, other, first, last) for other in suite.related}
    verdict = run_gate(suite, rows, related, docs=docs.path, run=run, keep=False)
    return {
        "dagster/row_count": lake.scan(name).select(pl.len()).collect().item(),
        "rows_added": verdict.rows,
        "quantity_added": str(rows.select(pl.col("quantity").sum()).collect().item() or 0),
        **verdict_metadata(verdict, docs),
        FIRST: dg.MetadataValue.int(first) if first else dg.MetadataValue.null(),
        LAST: dg.MetadataValue.int(last) if last else dg.MetadataValue.null(),
    }
