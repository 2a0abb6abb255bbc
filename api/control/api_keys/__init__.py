"""API keys of customers. Put here: their routes. Keep out: what may be done with them (storage/services)."""
