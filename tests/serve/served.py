"""A server in a process of its own: ``python -m tests.serve.served``.

Prints its port and serves the index of the root until it is ended.
"""

import os
from dataclasses import replace

from mdir.serve.app import make_app
from mdir.serve.decoders import Decoders
from mdir.serve.guard import Guard
from mdir.serve.indexed import Indexed
from mdir.serve.searching import open_searching
from mdir.serve.server import listen, make_server
from tests.serve.conftest import EXTRACTION, LIMITS


def main():
    limits = replace(LIMITS, body_seconds=3, idle_seconds=3)
    decoders = Decoders(limits)
    indexed = Indexed("index", os.path.join(os.environ["CIRTORCH_ROOT"], "index"), EXTRACTION)
    searching = open_searching(indexed, decoders, {})
    app = Guard(make_app(searching, limits), limits, {"localhost"})
    listening = listen("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    make_server(app, limits).run(sockets=[listening])


if __name__ == "__main__":
    main()
