"""The outside world behind small protocols: payments, tax, books, messages. Put here: one protocol a file, with what speaks it. Keep out: rules, databases."""
