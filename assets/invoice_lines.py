"""invoice_lines: the lines of the invoices, with number and tiers."""

import polars as pl

from assets._table import billing_asset
from transforms.invoice_lines import invoice_lines as lines_of


@billing_asset("invoice_lines")
def invoice_lines(routed_lines: pl.DataFrame, invoices: pl.DataFrame) -> pl.DataFrame:
    return lines_of(routed_lines=routed_lines, invoices=invoices)
