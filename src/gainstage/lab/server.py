"""Runs the lab on a port of this machine's loopback interface."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from dataclasses import dataclass

import uvicorn

from gainstage.errors import GainstageError, InputError
from gainstage.lab.app import Lab
from gainstage.lab.state import State
from gainstage.lab.subject import Given

__all__ = ["Running", "serve", "start"]

HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds until a server that does not come up is given up


@dataclass(frozen=True)
class Running:
    """A lab that runs in a thread of this process.

    Args:
        lab: what answers.
        port: on which it answers.
        server: of uvicorn.
        thread: in which it runs.
    """

    lab: Lab
    port: int
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def address(self) -> str:
        """Return the address of the page, with the token."""
        return address(self.lab, self.port)

    def stop(self) -> None:
        """End all work, and the server."""
        self.lab.close()
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(PATIENCE)


def address(lab: Lab, port: int) -> str:
    """Return the address of the page: the token, and the state behind the ``#``, which browsers keep to themselves."""
    return f"http://{HOST}:{port}/?token={lab.token}" + (f"#{lab.state.query}" if lab.state.query else "")


def _bound(port: int) -> socket.socket:
    """Return a socket on the loopback interface; port 0 takes a free one.

    Raises:
        InputError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise InputError(f"Port {port} cannot be used: {error.strerror or error}. Leave --port out.") from error
    return bound


def _prepared(given: Given | None, state: State | None, port: int) -> tuple[Lab, socket.socket, uvicorn.Server]:
    bound = _bound(port)
    number = bound.getsockname()[1]
    lab = Lab(given, state, lambda: number)
    settings = uvicorn.Config(
        lab.app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=1, ws="none",
        lifespan="off",
    )  # fmt: skip
    return lab, bound, uvicorn.Server(settings)


def start(given: Given | None = None, state: State | None = None, port: int = 0) -> Running:
    """Start the lab in a thread of this process, and return when it answers.

    Args:
        given: a model of the user's own.
        state: with which the page opens.
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken.
        GainstageError: the server does not come up.
    """
    lab, bound, server = _prepared(given, state, port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="gainstage-lab", daemon=True)
    thread.start()
    until = time.monotonic() + PATIENCE
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise GainstageError("The lab's server did not come up.")
        time.sleep(0.01)
    threading.Thread(target=lab.warm, name="gainstage-lab-warm", daemon=True).start()
    return Running(lab, bound.getsockname()[1], server, thread)


def serve(given: Given | None = None, state: State | None = None, port: int = 0, *, browser: bool = True) -> None:
    """Run the lab until it is interrupted.

    Args:
        given: a model of the user's own.
        state: with which the page opens.
        port: 0 takes a free one.
        browser: whether to open the page in the browser.

    Raises:
        InputError: the port is taken.
    """
    running = start(given, state, port)
    print(f"The lab is at {running.address}\nOnly this machine can reach it. Ctrl+C ends it.", flush=True)
    if browser:
        webbrowser.open(running.address)
    try:
        while running.thread.is_alive():
            running.thread.join(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        running.stop()
