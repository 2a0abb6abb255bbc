"""bonus_balances: the bonus units that wallets hold for the month's bills, frozen."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.database import session_scope
from storage.repositories.bonus_balances import frozen_bonus
from storage.scope import Scope
from transforms.frames import BONUS_BALANCES


@billing_asset("bonus_balances", group="metering")
def bonus_balances(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Engine], scope: dg.ResourceParam[Scope]
) -> pl.DataFrame:
    with session_scope(database) as session:
        rows = frozen_bonus(
            session, month=context.partition_key, tenants=scope.tenant_list, customers=scope.customer_list
        )
    return pl.DataFrame(rows, schema=BONUS_BALANCES.schema)
