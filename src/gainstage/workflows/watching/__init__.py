"""Watch a training: what a framework measures is judged, written down, and told."""

from gainstage.workflows.watching.recorder import Recorder
from gainstage.workflows.watching.sinks import JsonLines, Sink
from gainstage.workflows.watching.watch import Watch, watch

__all__ = ["JsonLines", "Recorder", "Sink", "Watch", "watch"]
