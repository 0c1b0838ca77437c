"""Projects: a repository plus how to build and run it."""
