"""The web process: gunicorn runs `wsgi:app`."""

from devflow.app import process_app
from devflow.core import journal
from devflow.web.headers import log_context

journal.start(log_context)
app = process_app()
