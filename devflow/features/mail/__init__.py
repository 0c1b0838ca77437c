"""Mail: letters to people, sent by the worker or kept for the administrator."""
