"""One run for all to look at, trained from Python in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import metacli


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In place of the user's folder of built data sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METACLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def quick(settings: list[str]) -> list[str]:
    """A ProtoNet in less than a second."""
    return [*settings, "paradigm=protonet", "trainer.steps=20", "device.name=cpu"]


@pytest.fixture(scope="session")
def protonet(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> metacli.FinishedRun:
    """Look at it, do not change it."""
    return metacli.train(*quick, f"run.root={tmp_path_factory.mktemp('protonet')}")


@pytest.fixture(scope="session")
def maml(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> metacli.FinishedRun:
    """Look at it, do not change it."""
    root: Path = tmp_path_factory.mktemp("maml")
    return metacli.train(*settings, "trainer.steps=10", "device.name=cpu", f"run.root={root}")


@pytest.fixture(scope="session")
def evaluation(protonet: metacli.FinishedRun) -> metacli.FinishedRun:
    """On other episodes."""
    return metacli.evaluate(protonet, "episode.test.shots=3", "episode.test.ways=3")
