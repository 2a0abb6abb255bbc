"""invoice_taxes: what each tax of each invoice comes to, rate by rate."""

import polars as pl

from assets._table import billing_asset
from transforms.frames import INVOICE_TAXES
from transforms.invoice_taxes import invoice_taxes as taxes_of


@billing_asset("invoice_taxes", group="invoicing")
def invoice_taxes(invoice_lines: pl.DataFrame) -> pl.DataFrame:
    return INVOICE_TAXES.conform(taxes_of(invoice_lines))
