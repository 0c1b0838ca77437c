"""Deployments: from a git ref to a running, routed release."""
