"""Containers: what runs for a project right now."""
