"""Dashboard: the first page after signing in, and the way to anywhere."""
