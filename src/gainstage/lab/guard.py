"""The guard in front of every answer: origin and token, limits on work, and security headers."""

from __future__ import annotations

import hmac
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_SECURITY_POLICY", "Guard"]

LARGEST_BODY = 64 * 1024
LONGEST_QUERY = 4096
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
FRAMED_BY = "frame-ancestors 'self' " + " ".join(f"http://{host}:*" for host in LOOPBACK[:2])
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    f"base-uri 'none'; form-action 'none'; {FRAMED_BY}"
)
"""Nothing but the lab's own files runs in the page; notebooks on this machine may frame it."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Answers requests from this machine's own page alone.

    A request must name the lab's own host, so that another site's name that resolves to this machine (DNS rebinding)
    gets nothing. Its origin, where the browser sends one, must be the lab's own. Whatever computes (``/api/``) needs
    the token of the address that the lab printed.

    Args:
        app: what answers.
        token: of this run of the lab.
        port: a function that returns the port in use.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: Callable[[], int]) -> None:
        self._app, self._token, self._port = app, token, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with a bounded body."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        fault = self._fault(scope)
        sender = _with_headers(send)
        if fault is not None:
            status, told = fault
            await PlainTextResponse(told, status)(scope, receive, sender)
            return
        await self._app(scope, _bounded(receive), sender)

    def _fault(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason of a refusal; None where the request may pass."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = {f"{host}:{self._port()}" for host in LOOPBACK}
        if len(headers.get("host", [])) != 1 or headers["host"][0].lower() not in hosts:
            return 421, "The lab answers under its own address alone."
        for origin in headers.get("origin", []):
            if origin.lower() not in {f"http://{host}" for host in hosts}:
                return 403, "The lab answers its own page alone."
        length = headers.get("content-length", ["0"])[0]
        if not length.isdigit() or int(length) > LARGEST_BODY or len(scope["query_string"]) > LONGEST_QUERY:
            return 413, "The request is too large."
        if scope["path"].startswith("/api/") and not self._holds_token(scope):
            return 403, "The token is missing or that of an earlier run. Open the address that the lab printed."
        return None

    def _holds_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode())


def _with_headers(send: Send) -> Send:
    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", [])}
            more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sender


def _bounded(receive: Receive) -> Receive:
    """Cut a body off that is longer than its header said or that has no length."""
    seen = 0

    async def receiver() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > LARGEST_BODY:
                return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return receiver
