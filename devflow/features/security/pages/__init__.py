"""The pages about who may do what, by subject."""
