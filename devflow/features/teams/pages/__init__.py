"""The pages of teams, by subject."""
