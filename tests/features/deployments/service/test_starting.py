"""Asking for deployments: what a deleted one takes with it, and what a rollback carries over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from devflow.core.access import SYSTEM
from devflow.core.db import db, transaction
from devflow.core.jobs import JobRow
from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.rules.plan import Artifact, Outcome
from devflow.features.deployments.service import finding, running, serving
from devflow.features.deployments.tasks import DISCARD
from devflow.web.ports import port
from tests.conftest import Person

URL = "https://example.com/team/shop.git"


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def live(deployment_id: str, image: str | None = None) -> str:
    """Let a queued deployment go live, as a worker would."""
    plan = running.begin(SYSTEM, deployment_id, 1, port(Settings))
    with transaction():
        row = db.session.get_one(Deployment, deployment_id)
        row.status = "deploying"
        if image:
            row.artifact, row.kind = Artifact("app", "flask", "Flask", image=image).stored(), "app"
    assert running.finish(SYSTEM, deployment_id, 1, Outcome("success"), plan.url)
    return deployment_id


@pytest.fixture
def shop(ann: Person) -> Person:
    ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    return ann


def deploy(shop: Person, image: str) -> str:
    return live(shop.call("POST", "/projects/shop/deploy", 201)["id"], image)


def back_to(shop: Person, deployment_id: str) -> str:
    return str(
        shop.call("POST", "/projects/shop/rollback", 201, target_deployment_id=deployment_id)["rollback_deployment_id"]
    )


def discarded(deployment_id: str) -> str:
    """The image that goes with a deleted deployment."""
    job = db.session.scalars(select(JobRow).where(JobRow.kind == DISCARD, JobRow.subject == deployment_id)).one()
    return str(job.payload["image"])


def test_a_deleted_version_leaves_the_image_that_a_second_return_to_it_serves(shop: Person) -> None:
    first = deploy(shop, "shop:1")
    deploy(shop, "shop:2")
    once = live(back_to(shop, first))
    deploy(shop, "shop:4")
    again = live(back_to(shop, once))
    shop.call("DELETE", f"/deployments/{first}")
    shop.call("DELETE", f"/deployments/{once}")
    assert discarded(first) == "" and discarded(once) == ""
    assert db.session.get_one(Deployment, again).live


def test_a_rollback_that_never_was_leaves_the_image_of_its_target(shop: Person) -> None:
    first = deploy(shop, "shop:1")
    deploy(shop, "shop:2")
    rollback = back_to(shop, first)
    shop.call("POST", f"/deployments/{rollback}/cancel")
    shop.call("DELETE", f"/deployments/{rollback}")
    assert discarded(rollback) == ""
    shop.call("DELETE", f"/deployments/{first}")
    assert discarded(first) == "shop:1"


def test_a_version_called_back_is_not_itself_rolled_back(shop: Person) -> None:
    first = deploy(shop, "shop:1")
    second = deploy(shop, "shop:2")
    live(back_to(shop, first))
    assert db.session.get_one(Deployment, second).shown_status == "rolled_back"
    forward = live(back_to(shop, second))
    deploy(shop, "shop:5")
    assert db.session.get_one(Deployment, forward).shown_status == "success"


def test_a_version_of_which_nothing_is_kept_is_not_offered_and_refused_plainly(shop: Person) -> None:
    first, second, third = (deploy(shop, image) for image in ("one", "two", "three"))
    serving.mark_gone(serving.holdings(db.session.get_one(Deployment, third).project_id, keep=1))
    rows = {key: db.session.get_one(Deployment, key) for key in (first, second, third)}
    offered = {key: finding.for_page(row, None)["can_return"] for key, row in rows.items()}
    assert offered == {first: False, second: True, third: False}, "the third serves, the first is gone"
    refused = shop.call("POST", "/projects/shop/rollback", 409, target_deployment_id=first)
    assert "Nothing is kept of #1 any more" in refused["message"] and "Deploy its commit again" in refused["message"]
    assert back_to(shop, second)
