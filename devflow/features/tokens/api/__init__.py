"""API tokens and service accounts as JSON, by subject."""
