"""Carry out a plan with the ports. Knows no database."""
