"""The outside world behind small protocols. Put here: those who take payments. Keep out: rules, storage, HTTP of our own."""
