"""The wheel, installed into a folder of its own and used from another: nothing of the checkout is needed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, "wheel", *options, str(CHECKOUT)], check=True, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)],
        check=True,
        cwd=folder,
    )
    return folder


@pytest.fixture
def python(installed: Path, tmp_path: Path):
    """Run Python somewhere else, with the installed wheel before all other packages."""

    def run(*arguments: str) -> str:
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "METACLI"))
        }
        environment["PYTHONPATH"] = str(installed)
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error::UserWarning", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def test_the_wheel_carries_every_config_and_every_file_of_the_package(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"metacli/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / "configs").rglob("*.yaml")}
    package = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "metacli").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside >= configs | package
    assert {name for name in inside if ".dist-info/" not in name} == configs | package


def test_the_wheel_makes_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "metacli = metacli.cli:main" in archive.read(name).decode()


def test_the_installed_package_and_its_configs_are_those_that_are_used(installed, python):
    program = "import metacli.config.compose as c; print(c.__file__); print(c.config_folder())"
    code, configs = python("-c", program).splitlines()
    assert Path(code) == installed / "metacli" / "config" / "compose.py"
    assert Path(configs) == installed / "metacli" / "configs"


def test_list_works_outside_the_checkout(python):
    listed = python("-m", "metacli.cli", "list")
    assert {"paradigm", "dataset", "experiment"} <= set(listed.splitlines())
    assert "nearest_centroid" in listed


def test_configs_compose_outside_the_checkout(python, tmp_path):
    composed = python("-m", "metacli.cli", "train", "--cfg", "job", "paradigm=protonet", "trainer.steps=3")
    assert "name: protonet" in composed
    assert "steps: 3" in composed
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_is_described_outside_the_checkout(python):
    program = "from metacli.data.glyphs import chosen; print(len(chosen()))"
    assert int(python("-c", program)) > 100
