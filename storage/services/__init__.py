"""What may be done with each noun, in one transaction. Keep out: HTTP, queries of other nouns."""
