"""The pages of API tokens and service accounts."""
