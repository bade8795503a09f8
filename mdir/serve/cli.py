"""The command ``serve``: a page over one's own photographs."""

import argparse
import secrets
import socket
import sys
import threading

from mdir.errors import UserError
from mdir.scenario.program import program
from mdir.serve.limits import Limits

DESCRIPTION = """\
Serve the index that a target of a scenario made: a page in which pictures are looked up, and JSON.

    %(prog)s photos.yml                     the only target with an index
    %(prog)s photos.yml search              that target, with any overlays behind it

The target must have been performed. The page: drop a picture, or choose one; a box drawn on it
searches with that part; a click on what is found searches with that. JSON, as multipart forms:

    POST /search     image=FILE or id=ID, box=[left,top,right,bottom] (fractions), k, filter
    POST /images     image=FILE, condition, place, date, latitude, longitude: added to the index
    POST /translate  image=FILE or id=ID, to=NAME: a JPEG
    GET  /image/ID   a JPEG; size=small or large
    GET  /health
"""
HOST = (
    "address to listen at; one that others reach needs the token that is printed, and what is sent "
    "is not encrypted"
)
TRANSLATE = (
    "a generator's network file, whose translations of a query are shown beside it, such as "
    "night=FILE; may be given several times"
)


def main(arguments: list[str]) -> int:
    """Serve until interrupted."""
    options = _options(arguments)
    require_packages()
    from mdir.serve.server import listen

    with listen(options.host, options.port) as listening:  # before anything that takes time
        return _serve(options, listening)


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog=f"{program()} serve",
        usage="%(prog)s [OPTIONS] SCENARIO [TARGET] [OVERLAY ...]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("words", nargs="*", help=argparse.SUPPRESS)
    add("--host", default="127.0.0.1", help=HOST)
    add("--port", type=int, default=8000, help="8000 by default; 0: one that is free")
    add("--translate", action="append", default=[], metavar="NAME=FILE", help=TRANSLATE)
    options = parser.parse_intermixed_args(arguments)
    if not options.words:
        parser.error("SCENARIO is needed; --help shows examples")
    if not 0 <= options.port <= 65535:
        parser.error("--port is a number from 0 to 65535")
    scenario, *rest = options.words
    is_target = rest and "=" not in rest[0] and not rest[0].endswith(".yml")
    options.target = rest.pop(0) if is_target else None
    options.layers = [scenario, *rest]
    pairs = [text.partition("=") for text in options.translate]
    if not all(name and file for name, _, file in pairs):
        parser.error("--translate takes NAME=FILE, such as night=generator.pth")
    options.generators = {name: file for name, _, file in pairs}
    return options


def require_packages():
    """UserError: the extra ``serve`` is not installed."""
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"serve: the package {error.name} is not installed; it comes with the extra 'serve': "
            "pip install -r requirements/serve.txt, or pip install 'mdir[serve]'"
        ) from None


def _serve(options, listening):
    from mdir.serve.app import make_app
    from mdir.serve.decoders import Decoders
    from mdir.serve.guard import Guard
    from mdir.serve.indexed import read_indexed
    from mdir.serve.searching import open_searching
    from mdir.serve.server import is_local, make_server

    indexed, limits = read_indexed(options.layers, options.target), Limits()
    decoders = Decoders(limits)
    try:
        searching = open_searching(indexed, decoders, options.generators)
        token = None if is_local(listening) else secrets.token_urlsafe(32)
        names = _names(options.host, token)
        app = Guard(make_app(searching, limits), limits, names, token is not None, token)
        _tell(searching, listening, options.host, token)
        threading.Thread(target=_tell_missing, args=[searching], daemon=True).start()
        make_server(app, limits).run(sockets=[listening])
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        decoders.close()
    return 0


def _names(host, token):
    """What this machine is called, for the header ``Host``."""
    local = {"localhost", "127.0.0.1", "::1", host.lower()}
    others = () if token is None else (socket.gethostname(), socket.getfqdn())
    return local.union(name.lower() for name in others)


def _tell(searching, listening, host, token):
    about, port = searching.index.about, listening.getsockname()[1]
    what = f"{_images(about.images)} of {searching.index.folder}"
    if not about.images:
        what += ", which is empty: nothing is found before images are added"
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    name = f"[{name}]" if ":" in name else name
    print(f"serving {what}")
    print(f"http://{name}:{port}/{f'?token={token}' if token else ''}", flush=True)


def _tell_missing(searching):
    if count := searching.missing():
        print(
            f"warning: {_images(count)} of the index cannot be shown, though found: "
            "not where they were when they were described",
            file=sys.stderr,
        )


def _images(count):
    return f"{count} image{'' if count == 1 else 's'}"
