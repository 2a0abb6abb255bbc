"""Routes of subscriptions. Keep out: their rules (storage/services), other nouns."""
