"""Teams: who owns things, and who may do what with them."""
