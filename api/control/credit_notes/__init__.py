"""Credit notes over HTTP. Keep out: what may be credited, how tax and discount are shared."""
