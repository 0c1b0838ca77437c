"""Who may do what in which place, by subject."""
