"""From a repository to an artifact: clone, detect, build."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from devflow.core.crypto import digest
from devflow.core.errors import Cancelled, StepFailed
from devflow.features.deployments.pipeline.tools import Tools, folder_size, need_disk
from devflow.features.deployments.pipeline.waiting import ahead, when_there
from devflow.features.deployments.rules.detect import (
    Detected,
    Runtimes,
    build_env,
    detect,
    plain,
    scoped_caches,
    without_mounts,
)
from devflow.features.deployments.rules.plan import DEPLOYMENT, MB, Artifact, Plan, Report
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec, Image
from devflow.ports.git import Commit
from devflow.ports.logs import Level


@dataclass(frozen=True)
class Known:
    """What the engine can do, asked while git works."""

    versions: Future[Mapping[str, tuple[str, ...]]]
    builder: Future[str]

    @classmethod
    def ask(cls, tools: Tools) -> Known:
        return cls(ahead(tools.images.versions), ahead(lambda: tools.engine.info().builder))


def obtain(plan: Plan, tools: Tools, report: Report) -> tuple[Artifact, str]:
    """The artifact of this plan and the commit it was made from."""
    shutil.rmtree(plan.work, ignore_errors=True)
    known = Known.ask(tools)
    try:
        commit = clone(plan, tools, report)
        found = look(plan, known, report)
        if found.kind == "app":
            ahead(lambda: tools.engine.ensure_network(plan.network, plan.owner_labels))  # a new one takes 0.1 s
        return build(plan, tools, report, found, known), commit.sha
    finally:
        shutil.rmtree(plan.work, ignore_errors=True)


def clone(plan: Plan, tools: Tools, report: Report) -> Commit:
    report.started("clone")
    need_disk(plan.work.parent, plan.min_free_disk)
    commit = tools.git.checkout(
        plan.repository,
        plan.branch,
        plan.commit,
        plan.work,
        plan.checkout_limits,
        lambda line: report.log(line, level=_importance(line), step="clone"),
        report.cancelled,
    )
    report.found(commit)
    report.finished("clone")
    return commit


def _importance(line: str) -> Level:
    """Git's own chatter is there for who looks for it; what was fetched stands out."""
    if line.startswith("Cloning "):
        return "command"
    return "info" if line.startswith("Checked out ") else "debug"


def look(plan: Plan, known: Known, report: Report) -> Detected:
    report.started("detect")
    found = detect(plan.work, plan.overrides, Runtimes(when_there(known.versions, report.cancelled)))
    for evidence in found.evidence:
        report.log(f"{evidence.file}: {evidence.says}", step="detect")
    for note in found.notes:
        report.log(note, step="detect")
    serves = "static files, served by the edge" if found.kind == "static" else f"listens on port {found.port}"
    report.log(f"{found.title}; {serves}", level="success", step="detect")
    report.finished("detect")
    return found


def build(plan: Plan, tools: Tools, report: Report, found: Detected, known: Known) -> Artifact:
    if found.kind == "static" and found.static_path is None:
        report.started("build", "Taking the files as they are")
        artifact = keep_static(plan, report, found, _take_tree(plan, found))
    else:
        report.started("build")
        artifact = _build_image(plan, tools, report, found, known)
    report.built(artifact)
    report.finished("build")
    return artifact


def _build_image(plan: Plan, tools: Tools, report: Report, found: Detected, known: Known) -> Artifact:
    for reference in found.base_images:
        tools.images.ensure(reference, lambda line: report.log(line, step="build"), report.cancelled)
    builder = when_there(known.builder, report.cancelled)
    try:
        image = tools.engine.build(_spec(plan, tools, found, builder), _narrate(report), report.cancelled)
    except StepFailed as error:
        raise _in_plain_words(error, found) from error
    try:
        if found.kind == "static":
            _mind_size(plan, image.size)  # before it is copied: this image holds nothing but the site
            return keep_static(plan, report, found, _export(plan, tools, found, image))
    finally:
        if found.kind == "static":
            tools.engine.remove_image(plan.image)
    report.log(f"Built {plan.image} ({image.size // 1_000_000} MB)", level="success", step="build")
    return Artifact(
        kind="app",
        framework=found.framework,
        title=found.title,
        image=plan.image,
        port=_port(plan, found, image),
        command=plan.overrides.start_command if found.dockerfile else "",
        release_command=found.release_command,
    )


def _in_plain_words(error: StepFailed, found: Detected) -> StepFailed:
    """Why a generated Dockerfile failed, without what we added to the project's own commands."""
    if found.dockerfile_text is None:
        return error
    told = plain(error.message)
    if found.kind == "static" and told.startswith("`collect "):
        return StepFailed(
            f"The build made no folder {found.output_directory}.",
            cause="output_missing",
            hint="Correct the output directory in the project's settings, or the build command.",
        )
    return StepFailed(told, cause=error.cause, hint=error.hint)


def _port(plan: Plan, found: Detected, image: Image) -> int:
    """What the settings say, else what the user's own Dockerfile EXPOSEs, else what was detected."""
    if plan.overrides.port:
        return plan.overrides.port
    return image.ports[0] if found.dockerfile and image.ports else found.port


def _spec(plan: Plan, tools: Tools, found: Detected, builder: str) -> BuildSpec:
    context = plan.work / plan.overrides.root_directory if plan.overrides.root_directory else plan.work
    text = found.dockerfile_text
    env = build_env(plan.env)
    if text is not None and builder == "classic":
        text = without_mounts(text)
    elif text is not None:
        text = scoped_caches(text, plan.project_id)
    args = {"DEVFLOW_BUILD_ENV": digest(env, tools.secret_key)} if text is not None and env else {}
    return BuildSpec(
        id=f"{plan.deployment_id}-{plan.attempt}",
        context=context,
        tag=plan.image,
        dockerfile=found.dockerfile or "Dockerfile",
        dockerfile_text=text,
        args=args,
        # Generated steps mount the secret even when it is empty; a user's own Dockerfile may.
        secrets={"env": env},
        labels={**plan.owner_labels, DEPLOYMENT: plan.deployment_id},
        no_cache=plan.clear_cache,
        limits=plan.build_limits,
    )


def _narrate(report: Report) -> Callable[[BuildEvent], None]:
    """Turn build events into log lines and a progress that rises with each step done."""
    done = 0

    def hear(event: BuildEvent) -> None:
        nonlocal done
        if isinstance(event, BuildOutput):
            report.log(event.text, level=_level(event), stream=event.stream, step="build")
            return
        internal = event.name.startswith("[internal]")
        name = plain(event.name)
        if event.state == "started" and not internal:
            report.log(name, level="command", step="build")
            report.progress(min(68, 18 + done * 6), f"Building: {name}")
        elif event.state == "cached" and not internal:
            report.log(f"{name}  (cached)", level="debug", step="build")
        elif event.state == "failed":
            report.log(plain(event.error) or name, level="error", step="build")
        if event.state in ("done", "cached") and not internal:
            done += 1

    return hear


def _level(event: BuildOutput) -> Level:
    start = event.text.lstrip().lower()[:40]
    if start.startswith(("error", "err!", "npm err", "fatal", "traceback")):
        return "error"
    return "warning" if start.startswith(("warn", "npm warn", "deprecat")) else "info"


def _export(plan: Plan, tools: Tools, found: Detected, image: Image) -> Path:
    _fresh(plan.output)
    tools.engine.export(image.id, found.static_path or "/", plan.output)
    return plan.output


def _take_tree(plan: Plan, found: Detected) -> Path:
    source = plan.work / plan.overrides.root_directory / found.output_directory
    _fresh(plan.output)
    shutil.copytree(source, plan.output, symlinks=True, dirs_exist_ok=True)
    return plan.output


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def keep_static(plan: Plan, report: Report, found: Detected, folder: Path) -> Artifact:
    """The folder as an artifact, if it holds a site and is not too large."""
    if report.cancelled():
        raise Cancelled("This deployment is to end.")
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise StepFailed(
            f"The build left nothing in {found.output_directory or 'its output directory'}.",
            cause="output_empty",
            hint="Check the output directory in the project's settings: it is where the build writes the site.",
        )
    size = folder_size(folder)
    _mind_size(plan, size)
    report.log(f"{len(files)} files, {size / 1_000_000:.1f} MB", level="success", step="build")
    return Artifact(kind="static", framework=found.framework, title=found.title, folder=str(folder), spa=found.spa)


def _mind_size(plan: Plan, size: int) -> None:
    if size > plan.max_output:
        raise StepFailed(
            f"The site is {size / MB:.0f} MB; at most {plan.max_output // MB} MB are allowed.",
            cause="output_too_large",
            hint="Make the output smaller, or ask an administrator to raise MAX_BUILD_SIZE.",
        )
