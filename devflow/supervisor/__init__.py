"""Starts the processes of DevFlow on one machine and keeps them running."""
