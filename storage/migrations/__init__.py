"""How the schema came to be. Put here: one file per revision, never changed once released. Keep out: data of tenants."""
