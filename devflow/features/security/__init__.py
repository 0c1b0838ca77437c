"""Who may do what, looked at from outside: roles given in places, and why somebody can or cannot."""
