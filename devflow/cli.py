"""`devflow …`: run the platform, look after it."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import click

from devflow.adapters.docker.baseimages import DockerBaseImages
from devflow.adapters.docker.client import DockerEngine
from devflow.app import ROOT, create_app
from devflow.core import settings_doc
from devflow.core.access import SYSTEM, anonymous
from devflow.core.errors import DomainError, Unavailable
from devflow.core.ids import new_id
from devflow.core.settings import Settings, load
from devflow.demo import run_demo
from devflow.features.accounts.schemas.entering import SignUpIn
from devflow.features.accounts.service import administering, entering
from devflow.features.audit import tasks as audit
from devflow.features.audit.rules.faults import Verdict, mend
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import archiving, chain, exporting, sealed
from devflow.features.deployments.pipeline import keeping
from devflow.features.deployments.rules.plan import installation_of
from devflow.ports.doctor import Doctor
from devflow.supervisor.lock import running
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
        administering.set_role(SYSTEM, made.user.id, "master_admin")
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


@main.group("audit")
def ledger() -> None:
    """The audit: whole, and taken elsewhere."""


@ledger.command("head")
def audit_head() -> None:
    """Print where the chain ends (NUMBER:HASH). Noted down elsewhere, it proves later that nothing was cut off."""
    with create_app().app_context():
        click.echo("{}:{}".format(*chain.head()))


@ledger.command("verify")
@click.option("--expect", "heads", multiple=True, metavar="NUMBER:HASH", help="A head noted down before.")
@click.option(
    "--archives",
    is_flag=False,
    flag_value="",
    metavar="[FOLDER]",
    help="Read every sealed file too, in the data folder or this one; all of them must be there.",
)
@click.option("--file", "export", type=click.File("rb"), help="Verify an export or sealed file instead.")
def verify_audit(heads: tuple[str, ...], archives: str | None, export: IO[bytes] | None) -> None:
    """Check every link of the chain; names the first broken one and exits with 1."""
    with create_app().app_context():
        folder = Path(archives) if archives else audit.folder_of(port(Settings))
        verdict = (
            sealed.verify_lines(sealed.lines(export))
            if export
            else chain.verify([chain.parsed_head(text) for text in heads], folder=folder, reading=archives is not None)
        )
    sys.exit(_told(verdict, folder, archives is not None))


def _told(verdict: Verdict, folder: Path, demanded: bool) -> int:
    """Print what a check has found; what the program ends with."""
    click.echo(f"{verdict.checked:,} entries checked in {verdict.seconds:.1f} s.")
    if verdict.older:
        click.echo(f"{verdict.older:,} entries are older than the chain; nothing vouches for them.")
    if verdict.left_out:
        click.echo(f"{verdict.left_out:,} numbers between the first and the last are not in this file.")
    if verdict.archived:
        how = "every link" if demanded else "by checksum; --archives reads every link"
        click.echo(f"{verdict.archived:,} entries are in sealed files. Files checked: {verdict.files:,} ({how}).")
    for name in verdict.absent:
        click.echo(f"{click.style('MISSING' if demanded else 'missing', fg='yellow')}: {name} is not in {folder}.")
    if verdict.fault:
        click.echo(f"{click.style('BROKEN', fg='red')}: {verdict.fault.says}")
        click.echo(mend(verdict.fault.kind))
        return 1
    click.echo(f"{click.style('Whole', fg='green')}, up to {verdict.number}:{verdict.hash}")
    return 1 if verdict.absent and demanded else 0


@ledger.command("archive")
def archive_audit() -> None:
    """Move entries older than AUDIT_RETENTION_DAYS to sealed files now; the worker does it once a day."""
    settings = load()
    if not settings.audit_retention_days:
        raise click.ClickException("AUDIT_RETENTION_DAYS is 0: entries stay in the database for ever.")
    with create_app().app_context():
        folder = audit.folder_of(settings)
        left = archiving.archive(folder, settings.audit_retention_days)
    click.echo(f"{left:,} entries moved to {folder}." if left else "No entry is old enough.")


@ledger.command("export")
@click.option("--from", "from_date", metavar="DATE")
@click.option("--to", "to_date", metavar="DATE")
@click.option("--action", help="Such as project.updated, or `project.` for all of them.")
@click.option("--user", "user_id", metavar="ID")
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="A file instead of the terminal.")
def export_audit(output: IO[str], **filters: str | None) -> None:
    """Print entries as lines of JSON, oldest first."""
    with create_app().app_context():
        asked = checked(AuditQuery, {name: value for name, value in filters.items() if value})
        for line in exporting.export(SYSTEM, asked):
            output.write(line)


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
    """Delete the data folder (every project, account and log) and what this installation made on the engine."""
    settings = load()
    if pid := running(settings.folder):
        raise click.ClickException(f"DevFlow is running (process {pid}). Stop it first.")
    click.echo(f"This deletes {settings.folder} with everything in it, and the containers, images and networks")
    click.echo("that this installation made on the engine. Repositories and other installations are not touched.")
    if not yes and not click.confirm("Delete them?"):
        return
    try:
        for what in keeping.clear_installation(DockerEngine(settings.docker_host), installation_of(settings), 2):
            click.echo(f"removed {what}")
    except Unavailable as error:
        click.echo(f"{error.message} What it holds of this installation stays there.", err=True)
    shutil.rmtree(settings.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
