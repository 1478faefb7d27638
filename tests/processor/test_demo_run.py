"""What ``tupletrace demo`` says when it cannot begin, and what it leaves behind when it is interrupted."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tupletrace.processor.lock import DatabaseLock

DEMO = [sys.executable, "-m", "tupletrace.processor.cli", "demo"]


def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    without_key = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    command = [*DEMO, *arguments]
    return subprocess.run(
        command, env=without_key | environment, capture_output=True, text=True, timeout=150, check=False
    )


def test_live_without_a_key_is_refused_in_one_line() -> None:
    result = run("--live")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "OPENAI_API_KEY" in result.stderr


def test_a_file_that_is_no_database_is_refused_in_the_processors_one_line(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("not a database")
    # What the caller set is for another processor.
    result = run("--db", foreign, TUPLETRACE_FLIGHT="nowhere", TUPLETRACE_LOG_FORMAT="nonsense")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert str(foreign) in result.stderr
    assert foreign.read_text() == "not a database"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    # A None in sys.modules is what Python itself reads as "not installed".
    code = "import sys; sys.modules['langchain_openai'] = None\n"
    code += "from tupletrace.processor.cli import main; sys.exit(main(['demo']))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert result.returncode == 2
    assert result.stderr == "tupletrace: langchain-openai is not installed: pip install 'tupletrace[demo]'\n"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_programs_and_processor_at_once(tmp_path: Path, number: signal.Signals) -> None:
    database, marked = tmp_path / "demo.duckdb", {**os.environ, "STARTED_BY": str(tmp_path)}
    with subprocess.Popen(
        [*DEMO, "--db", database], env=marked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        pause = threading.Event()
        while not any("langchain_rag.py" in command for command in started_by(tmp_path)):
            assert demo.poll() is None
            pause.wait(0.05)
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=120)
    assert (demo.returncode, errors) == (130, "")
    assert started_by(tmp_path) == []
    with DatabaseLock(database):
        pass


def started_by(mark: Path) -> list[str]:
    """The command lines of the processes that carry the mark in their environment."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"STARTED_BY={mark}" in (process / "environ").read_text(errors="replace"):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
