"""Networks on the real engine, and how their subnets are chosen."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator

import docker
import pytest

from devflow.adapters.docker.client import DockerEngine
from devflow.adapters.docker.networks import POOLS, Subnet, free_subnets, routes, subnets
from devflow.core.errors import Conflict
from devflow.ports.engine import Limits
from tests.ports.engine_fixtures import Scope


@pytest.fixture
def api() -> docker.APIClient:
    return docker.APIClient(version="auto")


@pytest.fixture
def made(engine: DockerEngine) -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        engine.remove_network(name)


def test_more_networks_than_the_engines_own_pools_have(
    engine: DockerEngine, engine_scope: Scope, api: docker.APIClient, made: list[str]
) -> None:
    for number in range(35):
        made.append(f"devflow-test-{engine_scope.id}-{number}")
        engine.ensure_network(made[-1], engine_scope.labels)
    mine = [network for network in api.networks() if network["Name"] in made]
    chosen = subnets(mine)
    assert len(chosen) == 35 and {subnet.prefixlen for subnet in chosen} == {26}
    everything = subnets(api.networks())
    assert not [(a, b) for i, a in enumerate(everything) for b in everything[:i] if a.overlaps(b)]


def test_ensure_twice_and_at_once_makes_one(engine_scope: Scope, api: docker.APIClient, made: list[str]) -> None:
    made.append(f"devflow-test-{engine_scope.id}")
    failures: list[BaseException] = []

    def ensure() -> None:
        try:
            DockerEngine().ensure_network(made[0], engine_scope.labels)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len([network for network in api.networks() if network["Name"] == made[0]]) == 1


def test_a_taken_subnet_is_passed_over(engine: DockerEngine, engine_scope: Scope, made: list[str]) -> None:
    api = docker.APIClient(version="auto")
    name = f"devflow-test-{engine_scope.id}"
    favourite = next(free_subnets(name, subnets(api.networks())))
    pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=str(favourite))])
    other = api.create_network(f"{name}-other", ipam=pool)["Id"]
    try:
        made.append(name)
        engine.ensure_network(name, engine_scope.labels)
        mine = subnets(network for network in api.networks(names=[name]) if network["Name"] == name)
        assert len(mine) == 1 and not mine[0].overlaps(favourite)
    finally:
        api.remove_network(other)


def test_a_network_in_use_is_not_removed(engine: DockerEngine, engine_scope: Scope) -> None:
    engine.run(engine_scope.run_spec("sleep", "1000"))
    with pytest.raises(Conflict, match="still has containers"):
        engine.remove_network(engine_scope.network())


def test_containers_of_one_network_know_each_other_by_name(engine: DockerEngine, engine_scope: Scope) -> None:
    server = engine.run(engine_scope.shell("echo hello > /tmp/index.html; exec httpd -f -h /tmp", name="-db"))
    said: list[str] = []
    script = f"until wget -q -O - http://{server.name}/; do sleep 0.1; done"
    spec = engine_scope.shell(script, limits=Limits(seconds=30))
    assert engine.run_to_end(spec, lambda _, text: said.append(text), lambda: False) == 0
    assert "hello" in said


def test_subnets_keep_clear_of_what_is_taken() -> None:
    first = next(free_subnets("a", []))
    assert first.prefixlen == 26 and any(first.subnet_of(pool) for pool in POOLS)
    assert next(free_subnets("a", [first])) != first
    assert next(free_subnets("a", [])) == first
    assert not any(subnet.subnet_of(POOLS[0]) for subnet in free_subnets("a", [POOLS[0]]))
    assert len(list(free_subnets("a", POOLS[1:]))) == 1024
    assert list(free_subnets("a", [ipaddress.IPv4Network("0.0.0.0/0")])) == []


def test_routes_are_read_without_the_default() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert routes(table) == [Subnet("10.213.0.0/16")]
