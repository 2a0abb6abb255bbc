"""One file per asset: what must hold of its table. Put here: facts and limits. Keep out: running them (gate.py does)."""
