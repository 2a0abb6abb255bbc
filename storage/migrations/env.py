"""How Alembic runs our migrations: on the connection `storage.database.migrate` hands it, holding its lock."""

from __future__ import annotations

from alembic import context

# Imported so that the metadata knows every table when a migration is compared with the models.
from storage.tables import catalog, customers, invoices, operations, tenants, wallet_grants  # noqa: F401
from storage.tables.base import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
