"""Settings: what an administrator may change while the platform runs."""
