"""Bring the database to this version before anything is started."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from contextlib import closing

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Config, Migrate, upgrade
from flask_migrate import downgrade as down
from sqlalchemy import create_engine, text

from devflow.app import ROOT, create_app
from devflow.core.db import db
from devflow.core.settings import Settings

LOCK = 0x0DEF_F100
"""PostgreSQL's advisory lock for migrations."""


def migrate(settings: Settings) -> None:
    """Upgrade the schema if it is behind; two starts at once take turns. A SQLite file is copied first."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = create_engine(settings.store_url)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(text(f"select pg_advisory_lock({LOCK})"))
                before = MigrationContext.configure(connection).get_current_revision()
                connection.rollback()
                if before == _head():
                    return
                if before and engine.dialect.name == "sqlite":
                    _copy(settings, before)
                with _migrating(settings).app_context():
                    upgrade()
        finally:
            engine.dispose()


def downgrade(settings: Settings, revision: str) -> None:
    """Take the schema back to a revision."""
    with _migrating(settings).app_context():
        down(revision=revision)


def _migrating(settings: Settings) -> Flask:
    """An app that knows its migrations; the one that serves does without Alembic."""
    app = create_app({name: getattr(settings, name) for name in type(settings).model_fields})
    Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True, compare_type=True)
    return app


def _head() -> str | None:
    config = Config(str(ROOT / "migrations" / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return ScriptDirectory.from_config(config).get_current_head()


def _copy(settings: Settings, revision: str) -> None:
    """Keep the database as it was, by SQLite's own backup."""
    source = settings.store_url.removeprefix("sqlite:///")
    target = settings.folder / "backups" / f"before-{revision}.db"
    target.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
