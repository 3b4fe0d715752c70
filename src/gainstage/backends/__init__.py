"""The only place that knows a framework."""

from gainstage.backends.protocol import Backend, Start, Trainer, backend_of, framework_of, trainer_named

__all__ = ["Backend", "Start", "Trainer", "backend_of", "framework_of", "trainer_named"]
