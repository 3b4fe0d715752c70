"""The lab inside a notebook."""

from __future__ import annotations

import atexit
from typing import Any

from gainstage.errors import MissingPackageError

__all__ = ["Lab", "lab"]


class Lab:
    """A running lab: a notebook shows it as a frame, other places as its address.

    Args:
        running: the server.
        height: of the frame, in pixels.
    """

    def __init__(self, running: Any, height: int) -> None:
        self._running, self._height = running, height

    @property
    def address(self) -> str:
        """Return the address of the page, with the token that lets it compute."""
        address: str = self._running.address
        return address

    def stop(self) -> None:
        """End the server and all work in progress."""
        self._running.stop()

    def __repr__(self) -> str:
        return f"The lab is at {self.address}"

    def _repr_html_(self) -> str:
        from gainstage.report.charts.svg import escaped

        return (
            f'<iframe src="{escaped(self.address)}" width="100%" height="{self._height}" frameborder="0" '
            'title="gainstage lab" allow="clipboard-write"></iframe>'
        )


def lab(model: Any = None, x: Any = None, y: Any = None, *, loss: Any = None, port: int = 0, height: int = 900) -> Lab:
    """Open the lab, a page on this machine alone, on a model of your own or on networks that the page builds.

    The server runs in a thread of this process until ``stop`` is called or the process ends. The lab works on copies:
    the model itself stays as it is.

    Args:
        model: of PyTorch or Keras; None starts with the lab's own networks.
        x: an example batch for the model.
        y: labels, without which the model is looked at and not trained.
        loss: a name or a function, as in ``gs.check``.
        port: on the loopback interface; 0 takes a free one.
        height: of the frame in a notebook, in pixels.

    Returns:
        a handle with ``address`` and ``stop``, which a notebook shows as a frame.

    Raises:
        MissingPackageError: Starlette and uvicorn are not installed (``pip install 'gainstage[lab]'``).
        InputError: a model without a batch, or a port that is taken.

    >>> import gainstage as gs
    >>> running = gs.lab()
    >>> running.address.startswith("http://127.0.0.1:")
    True
    >>> running.stop()
    """
    require_server()
    from gainstage.errors import InputError
    from gainstage.lab.server import start
    from gainstage.lab.state import OWN, State
    from gainstage.lab.subject import Given

    if (model is None) != (x is None):
        raise InputError("The lab needs a model together with an example batch: gs.lab(model, x), or gs.lab() alone.")
    given = None if model is None else Given(model, x, y, loss, type(model).__name__)
    state = State() if given is None else State(model=OWN, scheme="keep")
    running = start(given, state, port)
    atexit.register(running.stop)
    return Lab(running, height)


def require_server() -> None:
    """Say how the lab's server is installed where it is not.

    Raises:
        MissingPackageError: it is not installed.
    """
    for package in ("starlette", "uvicorn"):
        try:
            __import__(package)
        except ImportError as missing:
            raise MissingPackageError(package, "The lab", "'gainstage[lab]'") from missing
