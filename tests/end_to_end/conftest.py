"""Real environments: an application's own, made from the wheel, beside the one that the tests run in."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.demo import endpoint as openai_endpoint

ROOT = Path(__file__).parents[2]
FOREIGN = ("OTEL_", "TUPLETRACE_", "OPENAI_", "PYTEST_", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Environment:
    """A Python environment, and how to run something in it as its user would."""

    python: Path

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment's ``bin`` with clean variables."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        clean["PATH"] = f"{self.python.parent}{os.pathsep}{clean['PATH']}"
        # However slow the processor answers: what ends is to be delivered.
        clean["TUPLETRACE_EXIT_SECONDS"] = "60"
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=clean | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a release would publish."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "uv", "build", "-q", "--wheel", "-o", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """Make a new environment with the given requirements and nothing else, with or without our pins."""

    def make(
        *requirements: str | Path, pinned: bool = True, interpreter: str = sys.executable
    ) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        python = folder / "bin" / "python"
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--python", interpreter, "--clear", folder], check=True)
        # In the repository's folder its pins apply.
        pins = [] if pinned else ["--no-config"]
        install = [*uv, "pip", "install", "-q", *pins, "--python", python, *map(str, requirements)]
        subprocess.run(install, check=True, cwd=ROOT)
        return Environment(python)

    return make


@pytest.fixture(scope="session")
def application(make_environment: Callable[..., Environment], wheel: Path) -> Environment:
    """An application's environment: `pip install tupletrace` beside the newest OpenAI client, 3.x."""
    return make_environment(wheel, "openai>=3,<4")


@pytest.fixture(scope="session")
def development() -> Environment:
    """The environment of the tests: every framework, and OpenAI's client 2.x, which they ask for."""
    return Environment(Path(sys.executable))


class Processor:
    """A running `tupletrace serve`."""

    def __init__(self, database: Path, grpc: str, http: str) -> None:
        command = [sys.executable, "-m", "tupletrace.processor.cli", "serve", "--db", str(database)]
        self._process = subprocess.Popen(
            [*command, "--grpc", grpc, "--http", http], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert "ready" in ready
        self.addresses = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        self.grpc, self.http = self.addresses["grpc"], self.addresses["http"]

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Ask it."""
        request = urllib.request.Request(
            f"http://{self.http}/sql",
            json.dumps({"sql": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)

    def wait_for(self, query: str, rows: int) -> list[dict[str, Any]]:
        """Ask until all that it was sent is stored, with its rollups, and there are so many rows."""
        deadline = time.monotonic() + 120
        while not (settled := self._is_settled()) or len(self.sql(query)) < rows:
            assert time.monotonic() < deadline, (settled, self.sql(query))
            threading.Event().wait(0.05)
        found = self.sql(query)
        assert len(found) == rows, found
        return found

    def _is_settled(self) -> bool:
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=120) as response:
            lines = response.read().decode().splitlines()
        said = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        indexed = said["tupletrace_index_seq"] == said["tupletrace_journal_seq"]
        return indexed and not self.sql("FROM open_traces")

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(120) == 0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Processor]]:
    """Start processors that end with the test."""
    started: list[Processor] = []

    def start(grpc: str = "127.0.0.1:0", http: str = "127.0.0.1:0") -> Processor:
        started.append(Processor(tmp_path / f"{len(started)}.duckdb", grpc, http))
        return started[-1]

    yield start
    for processor in started:
        processor.stop()


@pytest.fixture
def processor(serve: Callable[..., Processor]) -> Processor:
    """A processor on free ports with an empty database."""
    return serve()


@pytest.fixture(scope="module")
def shared_processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """One for a module whose tests ask for what is theirs alone."""
    running = Processor(tmp_path_factory.mktemp("shared") / "x.duckdb", "127.0.0.1:0", "127.0.0.1:0")
    yield running
    running.stop()


@pytest.fixture
def openai() -> Iterator[openai_endpoint.Endpoint]:
    """The provider's HTTP endpoint, ours."""
    with openai_endpoint.serve() as running:
        yield running
