"""The JSON doors of accounts, by subject."""
