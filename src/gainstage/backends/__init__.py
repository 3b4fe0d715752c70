"""The only place that knows a framework."""

from gainstage.backends.protocol import Backend, backend_of

__all__ = ["Backend", "backend_of"]
