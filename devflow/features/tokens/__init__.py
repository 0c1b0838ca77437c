"""API tokens: what programs sign in with."""
