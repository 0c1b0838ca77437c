"""What can be done with roles, by subject."""
