"""``POST /admin/...``: what is done to a database by hand, while a processor has it open."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor import jobs, tokens

COUNT = "SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces FROM spans"


@pytest.fixture(scope="module")
def running(start_processor: Callable[..., Any]) -> Iterator[Any]:
    """A processor without tokens, on a loopback address."""
    started = start_processor()
    yield started
    assert "Traceback" not in started.stop()


@pytest.fixture
def post(running: Any, otlp: Any, until: Any) -> Callable[..., None]:
    """Send traces of two spans by a user, and wait until SQL sees them."""

    def posted(user: str, *traces: int) -> None:
        before = running.sql(COUNT)[0]["traces"]
        for trace in traces:
            said = {"user.id": user, "gen_ai.input.messages": f"the secret of {user}"}
            spans = [otlp.call(trace, span, attributes=said) for span in (1, 2)]
            assert running.post_traces(otlp.request(*spans)).status == 200
        until(lambda: running.sql(COUNT)[0]["traces"] == before + len(traces))

    return posted


def asked(processor: Any, job: str, **arguments: str) -> list[dict[str, Any]]:
    """Lines of the answer to a job."""
    body = json.dumps(arguments).encode()
    answer = processor.request(f"/admin/{job}", body, Content_Type="application/json")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def test_each_command_says_the_same_whether_a_processor_runs_or_not(
    running: Any, post: Callable[..., None], tupletrace: Callable[..., Any], until: Any, holding: Any
) -> None:
    post("ann", 1, 2)
    post("bob", 3)
    db = running.database
    done = tupletrace("rebuild", "--db", db)
    assert (
        done.returncode,
        done.stdout.startswith(f"{db} is made again; the old one is kept as {db}.replaced-"),
    ) == (
        0,
        True,
    ), done
    assert running.sql(COUNT) == [{"spans": 6, "traces": 3}]
    done = tupletrace("reprocess", "--since", "1h", "--db", db)
    assert (done.returncode, done.stdout) == (0, "3 requests since 1h are read again\n"), done
    until(lambda: running.sql(COUNT) == [{"spans": 6, "traces": 3}])
    for old in db.parent.glob("*.replaced-*"):
        old.unlink()
    done = tupletrace("forget", "--user", "ann", "--db", db)
    said = f"2 traces with 4 spans are gone from the journal and the database of {db}\n"
    assert (done.returncode, done.stdout) == (0, said), done
    assert running.sql(COUNT) == [{"spans": 2, "traces": 1}]
    assert holding(db.parent, b"secret of ann") == []
    done = tupletrace("retain", "--keep-content", "1d", "--url", f"http://{running.http}")
    assert "2 spans without their content now, of 1 traces" in done.stdout, done
    assert (
        running.sql("SELECT input_messages, input_tokens FROM spans")
        == [{"input_messages": None, "input_tokens": 10}] * 2
    )
    post("ann", 4)
    assert running.stop() == ""
    done = tupletrace("forget", "--user", "bob", "--db", db)
    assert done.stdout.startswith("1 traces with 2 spans are gone"), done


def test_questions_and_spans_are_served_all_the_time(
    start_processor: Callable[..., Any], otlp: Any, until: Any
) -> None:
    busy = start_processor()
    assert busy.post_traces(otlp.request(otlp.call(1))).status == 200
    over = threading.Event()

    def ask() -> list[bytes]:
        wrong: list[bytes] = []
        while not over.is_set():
            answer = busy.ask("SELECT count(*) FROM spans JOIN traces USING (trace_id)")
            wrong += [answer.body] if answer.status != 200 else []
        return wrong

    def send() -> int:
        sent = 1
        while not over.is_set():
            sent += 1
            assert busy.post_traces(otlp.request(otlp.call(sent))).status == 200
        return sent

    with ThreadPoolExecutor(3) as pool:
        asking, sending = [pool.submit(ask) for _ in range(2)], pool.submit(send)
        try:
            for job, arguments in (
                ("rebuild", {}),
                ("forget", {"trace": f"{1:032x}"}),
                ("retain", {"spans": "99y"}),
            ):
                assert "result" in asked(busy, job, **arguments)[-1]
        finally:
            over.set()
        assert [one.result() for one in asking] == [[], []]
        until(lambda: busy.sql(COUNT) == [{"spans": sending.result() - 1, "traces": sending.result() - 1}])
    assert busy.sql("FROM lost_requests") == []
    assert "Traceback" not in busy.stop()


@pytest.mark.parametrize("job", jobs.NAMES)
def test_only_an_admin_may_and_only_from_where_questions_may_come(
    start_processor: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, job: str, guarded: Any
) -> None:
    client, made = guarded
    json_, body = {"Content_Type": "application/json"}, b'{"trace": "0", "since": "2126-01-01"}'
    for scope, status in (("ingest", 403), ("read", 403), (None, 401)):
        header = {"Authorization": f"Bearer {made[scope]}"} if scope else {}
        assert client.request(f"/admin/{job}", body, **json_, **header).status == status
    admin = {"Authorization": f"Bearer {made['admin']}"}
    assert client.request(f"/admin/{job}", body, **json_, **admin, Host="evil.example").status == 403
    assert client.request(f"/admin/{job}", body, **json_, **admin, Origin="http://evil.example").status == 403
    assert client.request(f"/admin/{job}", body, Content_Type="text/plain", **admin).status == 415
    assert client.request(f"/admin/{job}", None, **admin).status == 405
    for wrong in (b"[]", b"{", b'{"what": "ever"}'):
        answer = client.request(f"/admin/{job}", wrong, **json_, **admin)
        assert (answer.status, "error" in answer.json) == (400, True), answer


@pytest.fixture(scope="module")
def guarded(start_processor: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A processor that asks for tokens, and one of each scope."""
    database: Path = tmp_path_factory.mktemp("admin") / "x.duckdb"
    made = {scope: tokens.add(tokens.tokens_file(database), scope, (scope,)) for scope in tokens.SCOPES}
    started = start_processor(database)
    yield started, made
    assert "Traceback" not in started.stop()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retain", "--keep-content", "week"], "'week' is no duration: write 7d"),
        (["retain", "--keep-size", "much"], "'much' is no size: write 500MB"),
        (["retain", "--keep-content", "8d", "--keep-spans", "1w"], "cannot be kept longer than the spans"),
        (["reprocess", "--since", "yesterday"], "'yesterday' is no time: write 2026-11-21"),
        (["serve", "--keep-content", "7"], "--keep-content, --keep-spans, --keep-size: '7' is no duration"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_it_is_said_why(
    tmp_path: Path, tupletrace: Callable[..., Any], arguments: list[str], said: str
) -> None:
    done = tupletrace(*arguments, "--db", tmp_path / "x.duckdb")
    assert (done.returncode, said in done.stderr, list(tmp_path.iterdir())) == (2, True, []), done
