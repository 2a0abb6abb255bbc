"""Webhook sources over HTTP. Keep out: receiving webhooks."""
