"""The sample: an administrator, a project from `examples/`, deployed by the platform itself like any other project."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from pathlib import Path

import click

from devflow.app import ROOT, create_app
from devflow.core.access import anonymous
from devflow.core.db import db
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.entering import SignUpIn
from devflow.features.accounts.service import entering, people
from devflow.features.deployments.schemas import DeployIn
from devflow.features.deployments.service import finding, starting
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectIn
from devflow.features.teams import service as teams
from devflow.ports.logs import Logs
from devflow.web.ports import port

EMAIL = "admin@devflow.local"
PATIENCE = 600.0


def run_demo(settings: Settings) -> None:
    """Deploy the sample once (a second start finds it), then say where everything is."""
    began = time.monotonic()
    app = create_app({name: getattr(settings, name) for name in type(settings).model_fields})
    with app.app_context():
        password = _administrator(settings)
        actor = teams.actor_of(people.find(people.id_of(EMAIL) or ""))
        project = projects.by_repository(actor, str(_repository(settings)))
        if project is None:
            data = ProjectIn(repository_url=str(_repository(settings)), name="hello")
            project = projects.create(actor, data)
        known = finding.live_of(project.id) is not None
        if not known and finding.active_of(project.id) is None:
            starting.start(actor, project, DeployIn(), settings)
        url = _wait(project.id)
        seconds = time.monotonic() - began
    if url is None:
        click.echo(f"\n  The sample app could not be deployed. Its log is in the dashboard: {settings.public_url}\n")
        return
    click.echo(f"\n  Sample app   {url}   ({'as it was' if known else f'deployed in {seconds:.1f} s'})")
    click.echo(f"  Dashboard    {settings.public_url}")
    click.echo(f"  Sign in      {EMAIL}   password {password}\n")


def _administrator(settings: Settings) -> str:
    """The password of the sample's administrator, made on the first start and kept for the next ones."""
    kept = settings.folder / "secrets" / "demo-password"
    if people.has_accounts():
        return kept.read_text().strip() if kept.exists() else "as you have chosen it"
    password = secrets.token_urlsafe(9)
    kept.touch(mode=0o600)
    kept.write_text(password)
    data = SignUpIn(email=EMAIL, name="Administrator", password=password)
    entering.register(anonymous(request_id=new_id()), data, port(entering.Keys), "open")
    return password


def _repository(settings: Settings) -> Path:
    """The sample as a git repository of its own, as a user's project would be."""
    folder = settings.sample
    if (folder / ".git").is_dir():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "hello-flask", folder)
    author = ["-c", "user.name=DevFlow", "-c", "user.email=hello@devflow.local", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Say hello"]):
        subprocess.run(["git", *author, *command], cwd=folder, check=True)
    return folder


def _wait(project_id: str) -> str | None:
    """Follow the deployment on the terminal; its address once it is live, None when it failed."""
    seen, deadline = 0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        live = finding.live_of(project_id)
        active = finding.active_of(project_id)
        newest = finding.of_project(project_id, 1)
        db.session.rollback()
        db.session.expire_all()
        if newest:
            for line in port(Logs).read(newest[0].log_stream, seen):
                seen = line.seq
                click.echo(f"  {line.step or 'deploy':8} {line.message}")
        if live is not None and active is None:
            return live.url
        if active is None and newest and newest[0].status in ("failed", "cancelled"):
            return None
        time.sleep(0.1)
    return None
