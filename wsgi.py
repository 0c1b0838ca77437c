"""The web process: gunicorn runs `wsgi:app`."""

from devflow.app import create_app

app = create_app()
