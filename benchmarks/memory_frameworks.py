"""Resident memory of a program that runs LangChain, LangGraph or LlamaIndex many times, instrumented and not.

The work is that of the overhead benchmarks, each kind in a process of its own. With what those install::

    python benchmarks/memory_frameworks.py --runs 100000
"""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import provider

KINDS = {
    "LangChain chain": ("overhead_langchain", "chain of three"),
    "LangGraph graph": ("overhead_langchain", "same, a node asks"),
    "LlamaIndex query": ("overhead_llama_index", "query of 20 documents"),
}
ARMS = ("uninstrumented", "tupletrace")
LOOKS = 10


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def work(kind: str, arm: str) -> Callable[[], object]:
    """Return one run of a kind, after the arm has instrumented this process."""
    name, row = KINDS[kind]
    module: Any = importlib.import_module(name)
    if arm != "uninstrumented":
        module.BENCHMARK.arms[arm](provider())
    return module.BENCHMARK.work()[row]


def watch(kind: str, arm: str, runs: int) -> None:
    """Print the resident memory after each tenth of the runs."""
    run = work(kind, arm)
    print(f"{kind:18}{arm:16}", end="", flush=True)
    for _ in range(LOOKS):
        for _ in range(runs // LOOKS):
            run()
        print(f"{resident():8.1f}", end="", flush=True)
    print(flush=True)


def main() -> None:
    """Read the command line; start a process for each kind and arm."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--only", nargs=2, metavar=("KIND", "ARM"))
    asked = parser.parse_args()
    if asked.only:
        watch(*asked.only, asked.runs)
        return
    print(f"MB resident after each tenth of {asked.runs:,} runs")
    for kind in KINDS:
        for arm in ARMS:
            command = [sys.executable, __file__, "--runs", str(asked.runs), "--only", kind, arm]
            environment = {"LANGSMITH_TRACING": "false", "PYTHONWARNINGS": "ignore"}
            subprocess.run(command, check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main()
