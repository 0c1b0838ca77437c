"""Accounts: people, their sessions and how they sign in."""
