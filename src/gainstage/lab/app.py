"""The lab's answers: the page and its files, looks, trainings, exercises, and downloads."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from gainstage.errors import GainstageError
from gainstage.lab import export
from gainstage.lab.exercises import experiment, questions
from gainstage.lab.guard import Guard
from gainstage.lab.looks import Looks
from gainstage.lab.state import CHOICES, LIMITS, State, read_state
from gainstage.lab.subject import Given
from gainstage.lab.teacher import teacher_page
from gainstage.lab.training import Trainings, charts, labels, summary
from gainstage.report.charts.svg import STYLE
from gainstage.report.html import html_page

__all__ = ["Lab"]

FILES = Path(__file__).parent / "static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
PACE = 0.12  # seconds between two pictures of a training: eight a second
MOST_LOOKS, MOST_RUNS, MOST_EXPERIMENTS = 6, 2, 1
MOST_KNOWN = 15  # trainings that were asked for and may still be followed
WIDEST, NARROWEST = 1400, 280  # pixels of a chart

Handler = Callable[[Request], Awaitable[Response]]


class Capacity:
    """Counts work of one kind in progress, and refuses more than a few at once."""

    def __init__(self, most: int) -> None:
        self._left = threading.Semaphore(most)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one piece of work.

        Raises:
            HTTPException: as many are in progress as there may be (429).
        """
        if not self._left.acquire(blocking=False):
            raise HTTPException(429, "The lab is busy with other work of this kind. Try again in a moment.")
        try:
            yield
        finally:
            self._left.release()


class Lab:
    """One run of the lab: what it was started with, its token, and the work in progress.

    Args:
        given: the model that it was started with.
        state: with which the page opens.
        port: a function that returns the port in use.
    """

    def __init__(self, given: Given | None = None, state: State | None = None, port: Callable[[], int] = int) -> None:
        self.given, self.state = given, state or State()
        self.token = secrets.token_urlsafe(24)
        self._looks = Looks(given)
        self._runs: dict[str, Trainings] = {}
        self._may_look, self._may_train = Capacity(MOST_LOOKS), Capacity(MOST_RUNS)
        self._may_experiment = Capacity(MOST_EXPERIMENTS)
        routes = [
            Route("/", self._page), Route("/teacher", self._teacher), Route("/static/{name}", self._file),
            Route("/api/start", _answering(self._start)), Route("/api/look", _answering(self._look), methods=["POST"]),
            Route("/api/train", _answering(self._train), methods=["POST"]),
            Route("/api/train/{run}/events", _answering(self._follow)),
            Route("/api/train/{run}/{action}", _answering(self._act), methods=["POST"]),
            Route("/api/questions", _answering(self._questions)),
            Route("/api/ask/{claim}", _answering(self._ask)),
            Route("/api/export/{kind}", _answering(self._export)),
        ]  # fmt: skip
        self.app = Guard(Starlette(routes=routes), token=self.token, port=port)

    def warm(self) -> None:
        """Prepare the first picture while the browser opens; what is wrong is reported to the page when it asks."""
        with suppress(GainstageError):
            self._looks.warm(self.state)

    def close(self) -> None:
        """Stop all trainings."""
        for run in self._runs.values():
            run.stop()

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse((FILES / "lab.html").read_text("utf-8"))

    async def _teacher(self, _request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(teacher_page))

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "charts.css":
            return Response(STYLE, media_type=KINDS[".css"])
        path = FILES / name
        if name not in {file.name for file in FILES.iterdir()}:
            raise HTTPException(404)
        return Response(path.read_text("utf-8"), media_type=KINDS[path.suffix])

    async def _start(self, _request: Request) -> Response:
        usual = {name: getattr(State(), name) for name in State.__dataclass_fields__}
        return JSONResponse(
            {
                "limits": LIMITS, "choices": CHOICES, "usual": usual, "query": self.state.query,
                "own": self.given.name if self.given is not None else "",
            }
        )  # fmt: skip

    async def _look(self, request: Request) -> Response:
        asked = await _body(request)
        state = read_state(_mapping(asked.get("state")))
        width, side = _width(asked.get("width")), _width(asked.get("side", asked.get("width")))

        def lines() -> Iterator[str]:
            with self._may_look.one():
                try:
                    for stage in self._looks.stages(state, width, side):
                        yield json.dumps(stage) + "\n"
                except GainstageError as error:
                    yield json.dumps({"stage": "error", "error": str(error)}) + "\n"

        return StreamingResponse(iterate_in_threadpool(_opened(lines())), media_type="application/x-ndjson")

    async def _train(self, request: Request) -> Response:
        asked = await _body(request)
        given = asked.get("states")
        if not isinstance(given, list):
            raise HTTPException(422, "states must be a list of settings.")
        run, name = Trainings([read_state(_mapping(s)) for s in given], self.given), secrets.token_urlsafe(8)
        kept = [(n, r) for n, r in self._runs.items() if not r.over][-MOST_KNOWN:]
        self._runs = {**dict(kept), name: run}
        told = [[list(d) for d in run.states[0].differences(s)] for s in run.states]
        return JSONResponse({"run": name, "labels": labels(run.states), "differences": told})

    def _run(self, request: Request) -> Trainings:
        run = self._runs.get(request.path_params["run"])
        if run is None:
            raise HTTPException(404, "This training is not known: the lab was started anew, or it is over.")
        return run

    async def _follow(self, request: Request) -> Response:
        run, width = self._run(request), _width(request.query_params.get("width"))
        if run.started:
            raise HTTPException(409, "This training is followed already.")

        async def events() -> AsyncIterator[str]:
            with self._may_train.one():
                run.start()
                try:
                    while True:
                        over = run.over
                        drawn = await run_in_threadpool(charts, run, width)
                        yield _event("picture", {"charts": drawn, "rows": summary(run), "held": run.held})
                        if over:
                            yield _event("over", {})
                            return
                        await asyncio.sleep(PACE)
                finally:
                    run.stop()

        return await _streaming(events())

    async def _act(self, request: Request) -> Response:
        run, action = self._run(request), request.path_params["action"]
        acts: dict[str, Callable[[], None]] = {
            "stop": run.stop,
            "hold": run.hold,
            "step": partial(run.step, 1),
            "go": run.go_on,
        }
        if action not in acts:
            raise HTTPException(404)
        acts[action]()
        return JSONResponse({"held": run.held})

    async def _questions(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(questions))

    async def _ask(self, request: Request) -> Response:
        claim = request.path_params["claim"]
        seed, quick = _whole(request.query_params.get("seed", "0")), request.query_params.get("quick", "1") != "0"
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Any]]()
        gone = threading.Event()

        def put(kind: str, value: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, (kind, value))

        def report(stage: str, done: int, total: int) -> None:
            if gone.is_set():
                raise GainstageError("The page went away.")
            put("progress", {"stage": stage, "share": done / max(total, 1)})

        def work() -> None:
            try:
                with self._may_experiment.one():
                    for found in experiment(claim, seed=seed, quick=quick, report=report):
                        put("evidence", found)
                put("over", {})
            except HTTPException as error:
                put("failed", {"error": error.detail})
            except Exception as error:
                put("failed", {"error": str(error)})

        async def events() -> AsyncIterator[str]:
            threading.Thread(target=work, name="lab-experiment", daemon=True).start()
            kind = ""
            try:
                while kind not in ("over", "failed"):
                    kind, value = await queue.get()
                    yield _event(kind, value)
            finally:
                gone.set()

        return await _streaming(events())

    async def _export(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        query = {k: v for k, v in request.query_params.items() if k != "token"}
        state = read_state(query)
        if kind == "command":
            return PlainTextResponse(export.as_command(state, self.given.name if self.given is not None else ""))
        if kind == "python":
            return PlainTextResponse(export.as_python(state))
        if kind == "notebook":
            return _attached(export.as_notebook(state), "application/x-ipynb+json", "gainstage-lab.ipynb")
        if kind == "html":
            diagnosis, theory = await run_in_threadpool(self._looks.page, state)
            return _attached(html_page(diagnosis, predicted=theory), "text/html", "gainstage-lab.html")
        raise HTTPException(404)


def _answering(handler: Handler) -> Handler:
    """Answer what a request got wrong with a 4xx and the reason."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException as error:
            return JSONResponse({"error": error.detail}, error.status_code)
        except GainstageError as error:
            return JSONResponse({"error": str(error)}, 422)

    return answer


async def _body(request: Request) -> dict[str, Any]:
    """Return the body as a mapping.

    Raises:
        HTTPException: it is no JSON object (400), or of another type (415).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "The body must be JSON (content-type: application/json).")
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is not JSON.") from error
    return _mapping(found)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HTTPException(422, "A JSON object of settings is needed.")
    return value


def _width(value: Any) -> float:
    """Return the width of a chart in pixels, within what the page can show."""
    return float(min(max(_whole(value if value is not None else 720), NARROWEST), WIDEST))


def _whole(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise HTTPException(422, f"A whole number is needed; received {text[:40]!r}.")
    return int(text)


def _opened(lines: Iterator[str]) -> Iterator[str]:
    """Take the first line before the answer begins, so that a refusal still has its status."""
    first = next(lines, None)

    def again() -> Iterator[str]:
        if first is not None:
            yield first
        yield from lines

    return again()


def _event(kind: str, value: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"


async def _streaming(events: AsyncIterator[str]) -> Response:
    """Answer with server-sent events; the first is taken before the answer begins, so that a refusal has its status."""
    first = await anext(events)

    async def again() -> AsyncIterator[str]:
        yield first
        async for event in events:
            yield event

    return StreamingResponse(again(), media_type="text/event-stream")


def _attached(text: str, kind: str, name: str) -> Response:
    return Response(text, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})
