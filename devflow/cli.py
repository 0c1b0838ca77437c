"""`devflow …`: run the platform, look after it."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from devflow.adapters.docker.baseimages import DockerBaseImages
from devflow.app import ROOT, create_app
from devflow.core import settings_doc
from devflow.core.access import SYSTEM, anonymous
from devflow.core.errors import DomainError
from devflow.core.ids import new_id
from devflow.core.settings import load
from devflow.demo import run_demo
from devflow.features.accounts.schemas import SignUpIn
from devflow.features.accounts.service import entering, people
from devflow.ports.doctor import Doctor
from devflow.together import up as run_all
from devflow.web.api import document
from devflow.web.pages import checked
from devflow.web.ports import port


class Group(click.Group):
    """Tells what went wrong in a sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DomainError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Group)
def main() -> None:
    """DevFlow: from a git repository to a live address, on your own machine."""


@main.command()
def up() -> None:
    """Start web, worker and edge, and keep them running."""
    sys.exit(run_all(load()))


@main.command()
def demo() -> None:
    """Like `up`, and deploy the sample app."""
    settings = load()
    sys.exit(run_all(settings, on_ready=lambda: run_demo(settings)))


@main.command()
def doctor() -> None:
    """Say in plain words what is missing or broken, and how to mend it."""
    app = create_app()
    with app.app_context():
        checks = port(Doctor).checks()
    marks = {
        "ok": click.style("ok  ", fg="green"),
        "warn": click.style("warn", fg="yellow"),
        "fail": click.style("FAIL", fg="red"),
    }
    for check in checks:
        click.echo(f"{marks[check.state]}  {check.name}: {check.says}")
        if check.mend:
            click.echo(f"      {check.mend}")
    sys.exit(1 if any(check.state == "fail" for check in checks) else 0)


@main.command()
@click.option("--email", prompt=True)
@click.option("--name", prompt=True)
@click.password_option()
def create_admin(email: str, name: str, password: str) -> None:
    """Create an account that administers the platform."""
    app = create_app()
    with app.app_context():
        data = checked(SignUpIn, {"email": email, "name": name, "password": password})
        made = entering.register(anonymous(request_id=new_id()), data, port(entering.Keys), "open")
        people.promote(SYSTEM, made.user.id)
        click.echo(f"{data.email} administers this platform.")


@main.group()
def images() -> None:
    """The images that projects are built on."""


def _base_images() -> DockerBaseImages:
    settings = load()
    return DockerBaseImages(settings.folder / "images", settings.docker_host)


@images.command("list")
def list_images() -> None:
    """What can be provided without a registry."""
    for image in _base_images().list_images():
        size = f"{image.size // 1_000_000} MB" if image.size else "not built"
        click.echo(f"{image.reference:24} {size:>10}  {image.summary}")


@images.command("build")
@click.argument("names", nargs=-1)
@click.option("--refresh", is_flag=True, help="Build them again.")
def build_images(names: tuple[str, ...], refresh: bool) -> None:
    """Build the named images (without a name: all) from the distribution's packages."""
    for name in _base_images().build_all(names, click.echo, refresh):
        click.echo(f"built {name}")


@main.group("db")
def database() -> None:
    """The database's schema."""


@database.command("upgrade")
def upgrade_database() -> None:
    """Bring the schema to this version."""
    _store().migrate(load())


@database.command("downgrade")
@click.argument("revision")
def downgrade_database(revision: str) -> None:
    """Take the schema back to a revision."""
    _store().downgrade(load(), revision)


def _store() -> Any:
    """By name: `devflow up` lives long and needs no migration tools."""
    return import_module("devflow.store")


@main.command("settings")
@click.option("--write", "rewrite", is_flag=True, help="Write docs/configuration.md and .env.example anew.")
def show_settings(rewrite: bool) -> None:
    """Every setting, as docs/configuration.md has it."""
    if rewrite:
        for path in settings_doc.write(ROOT):
            click.echo(f"wrote {path.name}")
    else:
        click.echo(settings_doc.configuration())


@main.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    app = create_app()
    with app.app_context(), app.test_request_context():
        click.echo(json.dumps(document(app), indent=2, sort_keys=True))


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Delete the data folder: every project, account and log."""
    folder = Path(load().folder)
    if yes or click.confirm(f"Delete {folder} with everything in it?"):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
