"""The routes of the server: the page, and the JSON that it and other programs ask for."""

import json
import math
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cirtorch.search.payload import checked_payload, parse_filter
from cirtorch.utils.errors import DataError
from mdir.serve.limits import MOST_FOUND, PART_BYTES, PARTS, TEXT_LENGTH, Limits, Refused
from mdir.serve.searching import SIDES, Searching

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_TOLD = ("condition", "place", "date", "latitude", "longitude")
_LARGEST_ID = 2**63 - 1


def make_app(searching: Searching, limits: Limits):
    """The application; :class:`mdir.serve.guard.Guard` belongs around it."""
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import JSONResponse, Response

    app = FastAPI(title="mdir serve", docs_url=None, redoc_url=None, openapi_url=None)
    gate = _Gate(limits.at_once)

    for name, kind in _FILES.items():
        page = partial(Response, (_PAGE / name).read_bytes(), media_type=f"{kind}; charset=utf-8")
        address = "/" if name == "page.html" else f"/{name}"
        app.add_api_route(address, lambda page=page: page())

    @app.get("/health")
    def health():
        bounds = {"bytes": limits.body_bytes, "pixels": limits.pixels, "k": MOST_FOUND}
        return {"status": "ok", **searching.about(), "limits": bounds}

    @app.post("/search")
    async def search(request: Request):
        async with _form(request) as form:
            box, k, where = _box(form), _count(form), _filter(form)
            with gate:
                data, number = await _image(form)
                return await run_in_threadpool(searching.search, data, number, box, k, where)

    @app.post("/translate")
    async def translate(request: Request):
        async with _form(request) as form:
            name = _text(form, "to")
            with gate:
                data, number = await _image(form)
                content = await run_in_threadpool(searching.translate, data, number, name)
        return Response(content, media_type="image/jpeg")

    @app.post("/images", status_code=201)
    async def add(request: Request):
        async with _form(request) as form:
            told = _payload(form)
            with gate:
                data, _ = await _image(form, may_be_id=False)
                return await run_in_threadpool(searching.add, data, told)

    @app.get("/image/{number}")
    def image(number: str, size: str = "large"):
        if size not in SIDES:
            raise Refused(400, f"size is one of {', '.join(SIDES)}")
        content = searching.shown(_id(number), size)
        headers = {"Cache-Control": "private, max-age=600"}
        return Response(content, media_type="image/jpeg", headers=headers)

    @app.exception_handler(Refused)
    async def refused(_request, error):
        return JSONResponse({"error": error.words}, error.status)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def without_route(_request, error):
        return JSONResponse({"error": "there is nothing at this address"}, error.status_code)

    @app.exception_handler(Exception)
    async def failed(_request, _error):
        words = "this went wrong; the server's console tells what"
        return JSONResponse({"error": words}, 500)

    return app


class _Gate:
    """So many requests at a time that hold a picture; others are refused.

    Those whose form is still to come are not among them: slow senders would keep others out.
    """

    def __init__(self, most):
        self.free = most

    def __enter__(self):
        if self.free == 0:
            raise Refused(503, "too many pictures at a time; try again in a moment")
        self.free -= 1

    def __exit__(self, *_):
        self.free += 1


@asynccontextmanager
async def _form(request):
    """Fields of a multipart form, all there: texts, and a file that is not read yet."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(415, "expected a form (multipart/form-data)")
    try:
        form = await request.form(max_files=1, max_fields=PARTS, max_part_size=PART_BYTES)
    except Refused:
        raise
    except Exception:  # the parser stumbles over broken forms in many ways
        raise Refused(400, "the form is broken or has too many or too large fields") from None
    try:
        yield form
    finally:
        await form.close()


async def _image(form, may_be_id=True):
    """Bytes and None, or None and the id of an image of the index."""
    file, number = form.get("image"), form.get("id") if may_be_id else None
    if (file is None) == (number is None):
        raise Refused(400, "give an image" + (", or the id of one" if may_be_id else ""))
    if number is not None:
        return None, _id(_text(form, "id"))
    data = None if isinstance(file, str) else await file.read()
    if not data:
        raise Refused(400, "image is a file, and not an empty one")
    return data, None


def _text(form, key):
    value = form.get(key, "")
    if not isinstance(value, str):
        raise Refused(400, f"{key} is a text, not a file")
    return value


def _id(text):
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    if not 0 <= number <= _LARGEST_ID:
        raise Refused(404, "there is no such image in the index")
    return number


def _json(form, key):
    """The value of a field that holds JSON; None where it is absent or empty."""
    text = _text(form, key)
    try:
        value = json.loads(text) if text else None
        json.dumps(value, ensure_ascii=False).encode()  # halves of characters are none
        return value
    except (ValueError, RecursionError):
        raise Refused(400, f"{key} is no JSON") from None


def _box(form):
    box = _json(form, "box")
    if box is None:
        return None
    is_box = isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box)
    if not is_box or not all(math.isfinite(v) and 0 <= v <= 1 for v in box):
        raise Refused(400, "box is [left, top, right, bottom], fractions of width and height")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Refused(400, "box: left must be smaller than right, top smaller than bottom")
    return [float(value) for value in box]


def _count(form):
    k = _json(form, "k")
    k = 20 if k is None else k
    if type(k) is not int or not 1 <= k <= MOST_FOUND:
        raise Refused(400, f"k is a whole number from 1 to {MOST_FOUND}")
    return k


def _filter(form):
    where = _json(form, "filter")
    try:
        parse_filter(where)
    except DataError as error:
        raise Refused(400, str(error)) from error
    return where


def _payload(form):
    told = {key: text for key in _TOLD if (text := _text(form, key).strip())}
    if any(len(text) > TEXT_LENGTH for text in told.values()):
        raise Refused(400, f"what is told of an image has at most {TEXT_LENGTH} characters each")
    try:
        checked_payload({**told, "path": "picture"})
    except DataError as error:
        raise Refused(400, str(error).removeprefix("index: ")) from error
    return told
