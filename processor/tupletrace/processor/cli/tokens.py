"""``tupletrace tokens``."""

import argparse
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from tupletrace.processor.cli.options import Commands, UsageError, add_db


def add(commands: Commands) -> None:
    """Declare the command."""
    said = "say who may send spans and ask SQL; a running server heeds it at once"
    parser = commands.add_parser("tokens", help=said)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    making = actions.add_parser("add", help="make a token and print it: it is shown this once")
    making.add_argument("name", help="whose it is: a name for `list` and `revoke`")
    making.add_argument(
        "--scope",
        action="append",
        choices=("ingest", "read", "admin"),
        help="ingest: send OTLP; read: ask SQL, see metrics; admin: everything; repeatable (ingest)",
    )
    making.set_defaults(run=_add)

    listing = actions.add_parser("list", help="show names, scopes and when each was made")
    listing.set_defaults(run=_list)

    revoking = actions.add_parser("revoke", help="let the tokens of a name in no longer")
    revoking.add_argument("name")
    revoking.set_defaults(run=_revoke)
    for action in (making, listing, revoking):
        add_db(action)


def _add(asked: argparse.Namespace) -> int:
    from tupletrace.processor import tokens

    scopes = tuple(sorted(set(asked.scope or [tokens.INGEST])))
    with _told():
        print(tokens.add(tokens.tokens_file(asked.db), asked.name, scopes))
    return 0


def _list(asked: argparse.Namespace) -> int:
    from tupletrace.processor import tokens

    with _told():
        for one in tokens.read(tokens.tokens_file(asked.db)):
            made = datetime.fromtimestamp(one.created_unix_s, UTC)
            print(f"{one.name}\t{','.join(one.scopes)}\t{made:%Y-%m-%d %H:%M}Z")
    return 0


def _revoke(asked: argparse.Namespace) -> int:
    from tupletrace.processor import tokens

    with _told():
        revoked = tokens.revoke(tokens.tokens_file(asked.db), asked.name)
    if not revoked:
        raise UsageError(
            f"no token has the name {asked.name}: `tupletrace tokens list` shows those there are"
        )
    print(f"revoked: {asked.name}")
    return 0


@contextmanager
def _told() -> Generator[None]:
    from tupletrace.processor.tokens import TokensUnreadable

    try:
        yield
    except (TokensUnreadable, OSError) as error:
        raise UsageError(str(error)) from None
