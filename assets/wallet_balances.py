"""wallet_balances: what the wallets hold for the month's bills, frozen."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.database import session_scope
from storage.repositories.wallet_billing import frozen_balances
from storage.scope import Scope
from transforms.frames import WALLET_BALANCES


@billing_asset("wallet_balances", group="metering")
def wallet_balances(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Engine], scope: dg.ResourceParam[Scope]
) -> pl.DataFrame:
    with session_scope(database) as session:
        rows = frozen_balances(
            session, month=context.partition_key, tenants=scope.tenant_list, customers=scope.customer_list
        )
    return pl.DataFrame(rows, schema=WALLET_BALANCES.schema)
