"""Site: the pages for everybody."""
