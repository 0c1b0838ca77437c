"""The web process: gunicorn runs `wsgi:app`."""

from devflow.app import process_app

app = process_app()
