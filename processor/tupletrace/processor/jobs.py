"""What is done to a database by hand: alone, or by the processor that has it open beside its other work."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tupletrace.processor.dropping import Place, Progress
from tupletrace.processor.forget import KINDS, forgetting, others
from tupletrace.processor.index import Job, finished
from tupletrace.processor.rebuild import rebuild, rebuilding, reprocessing
from tupletrace.processor.retention import Policy, retaining
from tupletrace.processor.store import Store
from tupletrace.processor.times import moment

Arguments = Mapping[str, str]
Answer = dict[str, Any]
"""What JSON can say."""
Order = Callable[[Place, Progress], Job[Answer]]
NAMES = ("forget", "rebuild", "reprocess", "retain")


def order(name: str, arguments: Arguments) -> Order:
    """Return a job by its name.

    They are ``forget`` (a ``user``, ``conversation`` or ``trace``), ``rebuild`` (``incomplete``),
    ``reprocess`` (``since``), ``retain`` (``content``, ``spans``, ``size``).

    Raises:
        ValueError: it takes other arguments.
    """
    said = dict(arguments)
    if name == "forget":
        kinds = [kind for kind in KINDS if said.get(kind)]
        if len(kinds) != 1:
            raise ValueError(f"say whose traces to forget, by one of {', '.join(KINDS)}")
        made: Order = partial(_forgetting, kind=kinds[0], value=said.pop(kinds[0]))
    elif name == "reprocess":
        made = partial(_reprocessing, since=moment(said.pop("since", "")))
    elif name == "retain":
        kept = {what: said.pop(what, None) for what in ("content", "spans", "size")}
        made = partial(_retaining, policy=Policy.of(**kept))
    else:
        made = partial(_rebuilding, incomplete=bool(said.pop("incomplete", None)))
    if said:
        raise ValueError(f"{name} has no {', '.join(said)}")
    return made


def alone(path: Path, name: str, arguments: Arguments, progress: Progress) -> Answer:
    """Do a job to a database that nobody has open; whoever calls this owns it.

    Raises:
        ValueError: the job takes other arguments.
        StoreError, JournalError: it cannot be done.
    """
    made = order(name, arguments)
    if name == "rebuild":
        # What is there is not looked at: it may be damaged.
        kept = rebuild(path, progress, incomplete=bool(arguments.get("incomplete")))
        return {"kept": kept and str(kept)}
    with closing(Store(path)) as store:
        return finished(made(Place(path, store), progress))


def _forgetting(place: Place, progress: Progress, kind: str, value: str) -> Job[Answer]:
    record = yield from forgetting(place, kind, value, progress)
    return record | {"others": [str(file) for file in others(place.path)]}


def _rebuilding(place: Place, progress: Progress, *, incomplete: bool) -> Job[Answer]:
    return {"kept": str((yield from rebuilding(place, progress, incomplete=incomplete)))}


def _reprocessing(place: Place, progress: Progress, since: datetime) -> Job[Answer]:
    return {"requests": (yield from reprocessing(place, since, progress))}


def _retaining(place: Place, progress: Progress, policy: Policy) -> Job[Answer]:
    return (yield from retaining(place, policy, progress))
