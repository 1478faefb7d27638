"""``python -m tupletrace.processor.demo.endpoint --port 0``."""

import argparse

from .server import listen, server, url


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tupletrace.processor.demo.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes any free one")
    with listen(parser.parse_args().port) as sock:
        # The socket listens already, so a client that reads this line is answered.
        print(f"ready {url(sock)}", flush=True)
        server([]).run([sock])


if __name__ == "__main__":
    main()
