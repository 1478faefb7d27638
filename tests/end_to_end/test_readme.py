"""Every command that the README shows is run as it stands there."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.demo.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
]
DEMO = "pip install uv && uv run tupletrace demo"
TESTS = "pip install uv && uv run pytest"
INSTALLS = ("pip install tupletrace", "pip install 'tupletrace[processor]'")
APPLICATION = ("opentelemetry-instrument python app.py", "tupletrace doctor")
SERVE = "tupletrace serve"
_ASKING = ("coverage", "costs", "sql", "tuples", "audit", "rollbacks")
ASKS = [line for line in COMMANDS if line.startswith(tuple(f"tupletrace {one}" for one in _ASKING))]


def test_this_module_knows_every_command_of_the_readme() -> None:
    """A command that is added to the README needs a test here."""
    assert set(COMMANDS) == {DEMO, TESTS, *INSTALLS, *APPLICATION, SERVE, *ASKS}


def test_the_test_command_is_what_ci_runs() -> None:
    """`.ci/run` calls the README's test command."""
    assert f"{TESTS} && exit" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_the_demo_runs_from_a_fresh_clone(tmp_path: Path, development: Any) -> None:
    """The first command of the README, in a fresh clone without an environment, shows all it promises."""
    clone = tmp_path / "tupletrace"
    ignored = shutil.ignore_patterns(
        ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "uv.lock"
    )
    shutil.copytree(ROOT, clone, ignore=ignored)
    # The first half is how this environment got its uv.
    _, _, second_half = DEMO.partition(" && ")
    done = development.run(*shlex.split(second_half), cwd=clone)
    for promised in ("coverage", "cost", "version", "SELECT", ".duckdb"):
        assert promised.lower() in done.stdout.lower(), done.stdout


def test_the_demo_runs_from_the_wheel(
    tmp_path: Path, make_environment: Callable[..., Any], wheel: Path
) -> None:
    """`pip install 'tupletrace[demo]'` alone is enough for `tupletrace demo`."""
    installed = make_environment(f"{wheel}[demo]")
    done = installed.run("tupletrace", "demo", "--db", tmp_path / "demo.duckdb", cwd=tmp_path)
    assert str(tmp_path / "demo.duckdb") in done.stdout


def test_what_the_readme_installs_works_as_it_says(
    make_environment: Callable[..., Any],
    application: Any,
    wheel: Path,
    openai: Endpoint,
    processor: Any,
    app: Path,
) -> None:
    """The installs, the application, the processor's answers and the doctor, in the README's own words."""
    server = make_environment(f"{wheel}[processor]")
    variables = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{processor.grpc}",
        "TUPLETRACE_DB": processor.addresses["db"],
    }
    for command in APPLICATION:
        application.run(*shlex.split(command), cwd=app.parent, env=variables)
    processor.wait_for("SELECT * FROM llm_calls", rows=1)
    for command in ASKS:
        assert server.run(*shlex.split(command), env=variables).stdout


def test_serve_says_where_it_listens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """`tupletrace serve` prints one line with its addresses and its file."""
    command = [sys.executable, "-m", "tupletrace.processor.cli", *shlex.split(SERVE)[1:]]
    ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--db", str(tmp_path / "new" / "x.duckdb")]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.terminate()
    assert re.fullmatch(
        r"tupletrace ready grpc=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+ db=.*x\.duckdb\n", ready
    )
    assert process.returncode == 0


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """`app.py`, somewhere."""
    path = tmp_path / "app.py"
    path.write_text(
        "from openai import OpenAI\n"
        "OpenAI().chat.completions.create(model='gpt-4o-mini', messages=[\n"
        "    {'role': 'system', 'content': 'You are brief.'}, {'role': 'user', 'content': 'Hello'}])\n"
    )
    return path
