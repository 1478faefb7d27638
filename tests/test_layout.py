"""The house as ARCHITECTURE.md describes it: who imports whom, what is installed with what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, metadata, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PARTS = {part: ROOT / part / "tupletrace" / part for part in ("semconv", "instrumentors", "processor")}
SERVER = {
    "anyio",
    "duckdb",
    "genai_prices",
    "numpy",
    "ptars",
    "pyarrow",
    "pytz",
    "rich",
    "scipy",
    "starlette",
    "uvicorn",
}
"""What only the processor may need, by import name."""
FLOW = [
    ["failpoint", "refusal", "metrics", "tokens", "tls", "logs", "memory", "times"],
    ["wire", "limits", "attributes", "decode", "records", "otlp_json", "evaluations"],
    ["journal_file", "journal_log", "journal_head"],
    ["journal"],
    ["admission", "receive"],
    ["sources"],
    ["content", "conversation", "events", "identity", "made_up", "kept"],
    ["normalise"],
    ["stages"],
    ["schema"],
    ["prices", "vendor_prices", "own_prices", "estimate", "database", "settings", "seen", "registered"],
    ["telling", "judging"],
    ["store"],
    ["index", "recost"],
    ["compact", "strip"],
    ["dropping"],
    ["rebuild", "retention"],
    ["forget"],
    ["jobs"],
    ["lockdown"],
    ["query", "formats"],
    ["listen", "lock", "guard", "body", "evaluation_endpoint", "sql_endpoint", "grpc_server", "http_server"],
    ["flight_messages", "flight_catalog", "flight_server"],
    ["forward"],
    ["ask"],
    ["snapshot"],
    ["transfer"],
    ["admin"],
    ["serve", "render", "doctor"],
    ["cohorts", "connection"],
    ["compare", "drift", "__init__"],
    ["cli"],
]
"""Rooms of the processor, in the order in which data passes; a module sees its own and earlier ones."""
SQL = PARTS["processor"] / "sql"


def sources(part: str) -> list[Path]:
    """Python files of one part, without the demo's example programs, which are user code."""
    return [path for path in sorted(PARTS[part].rglob("*.py")) if "programs" not in path.parts]


def imports(path: Path, *, module_level: bool = False) -> Iterator[str]:
    """Absolute names that a file imports; ``from a import b`` gives ``a.b``."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in _executed_on_import(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        # A relative import stays in its part.
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _executed_on_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not guarded and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _executed_on_import(child)


def ours(path: Path) -> set[str]:
    """Parts of ours that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("tupletrace.")}


def test_nobody_owns_the_namespace() -> None:
    """PEP 420: a file ``tupletrace/__init__.py`` in one part would hide the others."""
    assert not [part for part in PARTS if (PARTS[part].parent / "__init__.py").exists()]
    assert all((path / "py.typed").exists() for path in PARTS.values())


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("semconv", {"semconv"}),
        ("instrumentors", {"semconv", "instrumentors"}),
        ("processor", {"semconv", "processor"}),
    ],
)
def test_parts_import_only_the_vocabulary_besides_themselves(part: str, allowed: set[str]) -> None:
    assert len(sources(part)) >= 3
    assert {str(path): ours(path) - allowed for path in sources(part) if ours(path) - allowed} == {}


@pytest.mark.parametrize("part", ["semconv", "instrumentors"])
def test_what_runs_in_the_users_process_imports_nothing_of_the_server(part: str) -> None:
    for path in sources(part):
        found = {name.split(".")[0] for name in imports(path)}
        assert not found & SERVER, path
        assert "grpc" not in {name.split(".")[0] for name in imports(path, module_level=True)}, path


def test_importing_the_instrumentors_loads_nothing_of_the_server_and_no_framework() -> None:
    ours = ", ".join(
        f"tupletrace.instrumentors.{one}" for one in ("distro", "openai", "langchain", "llama_index")
    )
    code = f"import sys, {ours}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & (SERVER | {"openai", "langchain_core", "langgraph", "llama_index", "grpc"}) == set()


def test_the_command_line_loads_the_server_only_when_it_is_needed() -> None:
    """``tupletrace doctor`` works in an application's environment."""
    for path in [PARTS["processor"] / "doctor.py", *PARTS["processor"].glob("cli/*.py")]:
        assert not {name.split(".")[0] for name in imports(path, module_level=True)} & SERVER


def required(extra: str | None) -> set[str]:
    """Names of the distributions that an installation with this extra needs at least."""
    environment = {"extra": extra or ""}
    parsed = [Requirement(text) for text in requires("tupletrace") or ()]
    return {
        one.name.lower().replace("-", "_")
        for one in parsed
        if not one.marker or one.marker.evaluate(environment)
    }


def test_an_application_installs_no_server() -> None:
    base = required(None)
    assert {"opentelemetry_sdk", "opentelemetry_util_genai", "wrapt"} <= base
    assert not base & (
        SERVER | {"grpcio", "protobuf", "openai", "langchain", "langchain_core", "llama_index_core"}
    )
    assert {"duckdb", "pyarrow", "ptars", "starlette", "uvicorn", "rich"} <= required("processor")


def test_no_extra_is_named_as_opentelemetrys_own() -> None:
    """``opentelemetry-bootstrap`` and auto-instrumentation read an extra of that name as a condition."""
    assert set(metadata("tupletrace").get_all("Provides-Extra") or ()) == {"processor", "demo", "estimate"}


def test_ours_can_be_switched_off_alone() -> None:
    """Other vendors register plain ``openai`` and ``langchain``."""
    found = {
        one.name: one.value
        for one in entry_points(group="opentelemetry_instrumentor")
        if one.value.startswith("tupletrace.")
    }
    assert set(found) == {"tupletrace_openai", "tupletrace_langchain", "tupletrace_llama_index"}
    for group in ("opentelemetry_distro", "opentelemetry_configurator"):
        assert [one.value.partition(":")[0] for one in entry_points(group=group, name="tupletrace")] == [
            "tupletrace.instrumentors.distro"
        ]


def test_no_source_file_is_over_400_lines() -> None:
    files = [
        path for part in PARTS.values() for kind in ("*.py", "*.sql", "*.toml") for path in part.rglob(kind)
    ]
    assert len(files) > 50
    long = {str(path): count for path in files if (count := len(path.read_text("utf-8").splitlines())) > 400}
    assert long == {}


@pytest.mark.parametrize("folder", ["schema", "views", "questions"])
def test_the_order_lists_exactly_the_files_of_its_folder(folder: str) -> None:
    listed = (SQL / folder / "_order").read_text("utf-8").split()
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.stem for path in (SQL / folder).glob("*.sql")}


@pytest.mark.parametrize(
    "path",
    [path for folder in ("schema", "views", "questions") for path in SQL.glob(f"{folder}/*.sql")],
    ids=lambda path: path.stem,
)
def test_a_sql_file_makes_the_one_object_that_it_is_named_after(path: Path) -> None:
    text = re.sub(r"--.*", "", path.read_text("utf-8"))
    made = re.findall(
        r"\bCREATE\b[^;(]*?\b(?:TABLE|VIEW|MACRO)\b(?:\s+IF\s+NOT\s+EXISTS)?\s+(\w+)", text, re.IGNORECASE
    )
    assert made == [path.stem]
    assert text.rstrip().endswith(";")
    assert text.count(";") == 1


def test_every_sql_file_says_what_it_is_for() -> None:
    assert [str(path) for path in SQL.rglob("*.sql") if not path.read_text("utf-8").startswith("-- ")] == []


def flow() -> dict[str, set[str]]:
    """Modules of the processor: the other modules of it that they import."""
    modules = {path.stem: [path] for path in PARTS["processor"].glob("*.py")}
    modules["cli"] = list(PARTS["processor"].glob("cli/*.py"))
    return {
        module: {
            name.split(".")[2]
            for path in paths
            for name in imports(path)
            if name.startswith("tupletrace.processor.") and name.split(".")[2] in modules.keys() - {module}
        }
        for module, paths in modules.items()
    }


def test_nothing_in_the_processor_imports_against_the_flow_of_data() -> None:
    room = {module: number for number, modules in enumerate(FLOW) for module in modules}
    assert set(flow()) == set(room), "say in FLOW where a new module stands"
    against = [
        f"{module} imports {other}"
        for module, others in flow().items()
        for other in others
        if room[other] > room[module]
    ]
    assert against == []


def test_no_modules_of_the_processor_import_each_other_in_a_circle() -> None:
    reach = flow()
    for _ in reach:
        reach = {
            module: others | {far for other in others for far in reach[other]}
            for module, others in reach.items()
        }
    assert [module for module, others in reach.items() if module in others] == []
