"""The lines of the invoices. Put here: joining each routed line to its numbered invoice. Keep out:
numbering."""

from __future__ import annotations

import polars as pl

from domain.errors import PermanentFailure
from transforms.frames import INVOICE_LINES
from transforms.terms import LINE_ORDER


class LinesWithoutInvoice(PermanentFailure):
    """Lines were routed to invoices that were not written."""

    code = "LINES_WITHOUT_INVOICE"

    def __init__(self, orphans: pl.DataFrame) -> None:
        first = orphans.row(0, named=True)
        super().__init__(
            f"{orphans.height} routed lines have no invoice, the first: tenant {first['tenant_id']}, "
            f"customer {first['customer_id']}, line {first['line_id']}, invoice {first['invoice_id']}. "
            "Settle the month again."
        )


def invoice_lines(
    *, routed_lines: pl.DataFrame, invoices: pl.DataFrame, issued_lines: pl.DataFrame | None = None
) -> pl.DataFrame:
    """INVOICE_LINES: the lines that are not held, with their invoice's number. Invoices that are drafts no more keep
    the lines they were issued with (`issued_lines`). Raises `LinesWithoutInvoice`."""
    invoiced = routed_lines.filter(pl.col("destination") != "HELD")
    numbers = invoices.select("month", "invoice_id", "number", "status")
    orphans = invoiced.join(numbers, on=["month", "invoice_id"], how="anti")
    if not orphans.is_empty():
        raise LinesWithoutInvoice(orphans)
    drafts = invoiced.join(
        numbers.filter(pl.col("status") == "DRAFT"), on=["month", "invoice_id"], how="inner"
    )
    lines = INVOICE_LINES.conform(drafts)
    if issued_lines is not None:
        lines = pl.concat([lines, issued_lines])
    return lines.sort(LINE_ORDER)
