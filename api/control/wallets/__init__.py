"""Wallets over HTTP. Keep out: how money is booked."""
