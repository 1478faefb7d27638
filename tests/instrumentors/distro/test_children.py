"""Child processes: each span is delivered once, with an id of its own, and no child is hurt."""

from collections import Counter
from typing import Any

import pytest

METHODS = ("fork", "spawn", "forkserver")
MUCH_LESS_THAN_AN_EXPORT_S = 30
"""An export to a receiver that is silent takes 100 s here; a fork waits at most 50 ms for it."""


@pytest.mark.parametrize("method", METHODS)
def test_a14_multiprocessing_children_deliver_their_spans(program: Any, receiver: Any, method: str) -> None:
    """A14. They end by `os._exit`, which runs no exit handler; their parent's spans are not theirs."""
    source = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(number):
    span(f"child {{number}}")
    return number

if __name__ == "__main__":
    span("parent, queued")
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=work, args=(number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        results = list(pool.map(work, [2, 3]))
    print(results, [child.exitcode for child in children])
"""

    result = program(source).run(receiver.endpoint, PYTHONWARNINGS="ignore")

    assert result.out == "[2, 3] [0, 0]\n"
    assert result.errors == ""
    assert Counter(["parent, queued", *(f"child {number}" for number in range(4))]) == receiver.names


def test_a14_forked_children_that_end_normally_deliver_their_spans(program: Any, receiver: Any) -> None:
    """A14. As prefork servers' workers do; the parent has used its connection before."""
    source = """
span("parent, sent")
trace.get_tracer_provider().force_flush()
span("parent, queued")
for number in range(3):
    if not os.fork():
        span(f"child {number}")
        sys.exit(number)
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(3)))
"""

    result = program(source).run(receiver.endpoint, PYTHONWARNINGS="ignore")

    assert result.errors == ""
    assert result.out == "[0, 1, 2]\n"
    assert Counter(["parent, sent", "parent, queued", "child 0", "child 1", "child 2"]) == receiver.names


def test_ids_do_not_follow_the_programs_random_seed(program: Any, receiver: Any) -> None:
    """A seeded program, run twice, with forked children: no trace or span id comes twice."""
    app = program(
        """
import multiprocessing, random

def work():
    random.seed(1)
    for _ in range(10):
        span("work")

if __name__ == "__main__":
    work()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""
    )

    app.run(receiver.endpoint)
    app.run(receiver.endpoint)

    assert len(receiver.spans) == 60
    assert len({span.span_id for span in receiver.spans}) == 60
    assert len({span.trace_id for span in receiver.spans}) == 60


def test_a14_forks_under_load_neither_hang_nor_lose_a_child(program: Any, receiver: Any) -> None:
    """A14. With the SDK alone, a third of such children hang in gRPC or lose their spans."""
    source = """
import multiprocessing, threading

def work(number):
    span(f"child {number}")

def load(stopped):
    while not stopped.wait(0.001):
        span("load")

if __name__ == "__main__":
    stopped = threading.Event()
    loading = threading.Thread(target=load, args=(stopped,))
    loading.start()
    context = multiprocessing.get_context("fork")
    codes = []
    for first in range(0, 100, 4):
        children = [context.Process(target=work, args=(first + offset,)) for offset in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            codes.append(child.exitcode)
    stopped.set()
    loading.join()
    print(set(codes))
"""

    result = program(source).run(receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY="10", PYTHONWARNINGS="ignore")

    assert (result.code, result.out, result.errors) == (0, "{0}\n", "")
    assert {f"child {number}": 1 for number in range(100)} == {
        name: count for name, count in receiver.names.items() if name != "load"
    }


def test_a14_a_fork_does_not_wait_for_a_receiver_that_is_silent(program: Any, nobody: dict[str, str]) -> None:
    """A14. The export under way is broken off and made again afterwards; the children end as they would."""
    source = """
import threading
span("work")
threading.Thread(target=trace.get_tracer_provider().force_flush, daemon=True).start()
before = time.monotonic()
for number in range(5):
    if not os.fork():
        os._exit(number)
    os.wait()
print(time.monotonic() - before < 30)
end()
"""

    result = program(source).run(
        nobody["silent"],
        OTEL_EXPORTER_OTLP_TIMEOUT="100",
        TUPLETRACE_EXIT_SECONDS="",
        PYTHONWARNINGS="ignore",
    )

    assert result.out == "True\n"
    assert result.code == 0
    assert result.exit_s < MUCH_LESS_THAN_AN_EXPORT_S


def test_a14_a_child_forked_while_the_user_is_in_grpc_is_not_hurt(
    program: Any, receiver: Any, nobody: dict[str, str]
) -> None:
    """A14. gRPC may crash or hang in such a child: its spans are given up, said and counted."""
    source = f"""
import multiprocessing, threading
import grpc

def work():
    span("child")

def call():
    grpc.insecure_channel({nobody["silent"]!r}.removeprefix("http://")).unary_unary("/a/b")(b"", timeout=60)

if __name__ == "__main__":
    threading.Thread(target=call, daemon=True).start()
    while not any(frame.f_globals["__name__"] == "grpc._channel" for frame in sys._current_frames().values()):
        pass
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
    span("parent")
"""

    result = program(source).run(receiver.endpoint, PYTHONWARNINGS="ignore")

    assert result.out == "0\n"
    assert Counter(["parent"]) == receiver.names
    assert "gRPC was at work" in result.errors
    assert "1 span" in result.errors


def test_a14_forked_children_that_end_by_os_exit_deliver_their_spans(program: Any, receiver: Any) -> None:
    """A14. From any thread, and their own children too; the exit code is the program's."""
    source = """
import threading

def leave(name, code):
    span(name)
    os._exit(code)

if not (child := os.fork()):
    if not (grandchild := os.fork()):
        threading.Thread(target=leave, args=("grandchild", 5)).start()
        time.sleep(60)
    code = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
    leave("child", code + 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    result = program(source).run(receiver.endpoint, PYTHONWARNINGS="ignore")

    assert result.errors == ""
    assert result.out == "6\n"
    assert Counter(["child", "grandchild"]) == receiver.names
