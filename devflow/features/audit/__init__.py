"""Audit: who changed what, when and from where, in the transaction that changed it."""
