"""Tokens made from API keys. Put here: their routes. Keep out: how they are made (storage/services/tokens.py)."""
