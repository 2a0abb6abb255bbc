"""Products over HTTP. Put here: their routes and bodies. Keep out: rules (domain.catalog, storage.services)."""
