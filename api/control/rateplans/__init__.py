"""Rate plans at the management door: bodies, answers, routes. Keep out: what plans do (storage.services.rate_plans)."""
