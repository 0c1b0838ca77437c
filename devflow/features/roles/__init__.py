"""Roles: sets of permissions of one's own making, and whom they are given to."""
