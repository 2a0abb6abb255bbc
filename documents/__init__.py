"""Invoices as documents: the page a customer reads and the e-invoice a machine reads. Put here: rendering a document. Keep out: databases, sums, HTTP."""
