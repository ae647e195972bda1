"""Commands run in processes of their own, on photographs that are a class's own pattern under noise."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATIENCE = 120  # seconds until a process is taken to hang
LIGHT = [
    "metacli.commands.train",
    "metacli.commands.sweep",
    "metacli.commands.eval",
    "metacli.config.translate",
]
HEAVY = [
    *LIGHT,
    "metacli.api",
    "metacli.commands.rerun",
    "metacli.data.imagefolder",
    "metacli.paradigms.maml",
    "torch._inductor.config",  # which deterministic algorithms ask for
    "sklearn.metrics",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "safetensors.torch",
    "jinja2",
]


@dataclass(frozen=True)
class Ended:
    """A process that is over."""

    code: int
    out: str
    err: str
    modules: frozenset[str]

    def message(self) -> str:
        """What the user was told of a mistake: two or three plain lines and exit code 2."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.splitlines()
        assert 2 <= len(lines) <= 3, self.err
        assert lines[0].startswith("metacli: ")
        assert "Traceback" not in self.err
        return self.err

    def succeeded(self) -> "Ended":
        assert self.code == 0, (self.code, self.out, self.err)
        assert self.err == ""
        return self


class Started:
    """A process under way."""

    def __init__(self, forks: "Forks", pid: int, output: Path) -> None:
        self.forks = forks
        self.pid = pid
        self.output = output
        self.code: int | None = None

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The exit code, once there is one."""
        if self.code is None:
            self.code = self.forks.ask({"poll": self.pid})
        return self.code

    def wait(self) -> Ended:
        until = time.monotonic() + PATIENCE
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                self.signal(signal.SIGKILL)
            time.sleep(0.01)
        out, err, modules = (
            path.read_text(encoding="utf-8") if path.exists() else ""
            for path in (self.output.with_suffix(ending) for ending in (".out", ".err", ".modules"))
        )
        return Ended(code, out, err, frozenset(modules.split()))


class Forks:
    """Starts commands by way of forking.py."""

    def __init__(self, modules: Sequence[str], outputs: Path, cache: Path) -> None:
        self.outputs = outputs
        self.count = 0
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "METACLI_CACHE": str(cache)}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "forking.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def ask(self, request: dict) -> int | None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(
        self,
        *arguments: str,
        folder: Path,
        environment: dict[str, str] | None = None,
        terminal: str | None = None,
        room: int | None = None,
    ) -> Started:
        """terminal: where standard output goes, if not to a file · room: files that it may write."""
        self.count += 1
        output = self.outputs / f"{self.count:03d}"
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": environment or {},
            "output": str(output),
            "terminal": terminal,
            "room": room,
        }
        pid = self.ask(request)
        assert pid is not None
        return Started(self, pid, output)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In place of the user's folder of built data sets."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def light(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """For what has to do without torch."""
    forks = Forks(LIGHT, tmp_path_factory.mktemp("light"), cache)
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def forks(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """For what trains."""
    forks = Forks(HEAVY, tmp_path_factory.mktemp("heavy"), cache)
    yield forks
    forks.close()


@pytest.fixture
def checks(light: Forks, tmp_path: Path) -> Command:
    """Run a command that should end before torch is imported, in `tmp_path` or another folder."""

    def run(*arguments: str, folder: Path = tmp_path, **environment: str) -> Ended:
        ended = light.start(*arguments, folder=folder, environment=environment).wait()
        assert "torch" not in ended.modules
        return ended

    return run


@pytest.fixture
def runs(forks: Forks, tmp_path: Path) -> Command:
    """Run a command to its end in `tmp_path` or another folder."""

    def run(*arguments: str, folder: Path = tmp_path, **environment: str) -> Ended:
        return forks.start(*arguments, folder=folder, environment=environment).wait()

    return run


@pytest.fixture(scope="session")
def finished(forks: Forks, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A maml run without a break. Look at it, copy it, do not change it."""
    folder = tmp_path_factory.mktemp("finished")
    forks.start("train", *settings, folder=folder).wait().succeeded()
    (run,) = (folder / "runs" / "maml-imagefolder").iterdir()
    return run
