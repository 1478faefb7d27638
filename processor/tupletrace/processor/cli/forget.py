"""``tupletrace forget``: traces of a user, of a conversation, or one trace, gone for good."""

import argparse
import sys

from tupletrace.processor.cli.options import Commands, path
from tupletrace.processor.cli.rebuild import add_place, done, place, shown


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("forget", help="delete every trace of a user or conversation, or one trace")
    whose = parser.add_mutually_exclusive_group(required=True)
    for kind, said in (
        ("user", "user.id"),
        ("conversation", "gen_ai.conversation.id"),
        ("trace", "trace id, hex"),
    ):
        whose.add_argument(f"--{kind}", metavar="ID", help=said)
    said = "out of this snapshot instead of the database; again for more"
    parser.add_argument("--snapshot", type=path, action="append", metavar="FILE", help=said)
    add_place(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    from tupletrace.processor.forget import KINDS

    kind = next(kind for kind in KINDS if getattr(asked, kind) is not None)
    if asked.snapshot:
        return _from_snapshots(asked, kind)
    record = done(asked, "forget", {kind: getattr(asked, kind)})
    said = (
        f"{record['traces']} traces with {record['spans']} spans are gone from the journal and the database"
    )
    print(f"{said} of {place(asked)}")
    for file in record["others"]:
        said = f"{file} is not looked into: delete it yourself if it may hold some of them"
        print(f"tupletrace: {said}", file=sys.stderr)
    return 0


def _from_snapshots(asked: argparse.Namespace, kind: str) -> int:
    from tupletrace.processor import snapshot

    with shown(asked, "forgetting") as progress:
        for number, file in enumerate(asked.snapshot, 1):
            traces = snapshot.forget(file, kind, getattr(asked, kind))
            progress(number, len(asked.snapshot))
            print(f"{traces} traces are gone from {file}")
    return 0
