"""Overview: projects together with what is live, and how they have been doing."""
