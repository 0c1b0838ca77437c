"""What can be done with API tokens, by subject."""
