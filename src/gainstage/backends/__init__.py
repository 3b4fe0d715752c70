"""The only place that knows a framework."""

from gainstage.backends.protocol import Backend, Framework, Start, Trainer, backend_of, framework_of, trainer_of

__all__ = ["Backend", "Framework", "Start", "Trainer", "backend_of", "framework_of", "trainer_of"]
