"""Wizard: from a repository's address to its first deployment, in three steps."""
