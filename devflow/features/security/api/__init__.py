"""The JSON doors to who may do what, by subject."""
