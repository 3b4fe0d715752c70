"""What a framework must offer. Everything above the backends reaches them through this package alone."""

from gainstage.backends.protocol.backend import Backend, Detail
from gainstage.backends.protocol.finding import (
    Framework,
    backend_of,
    framework_of,
    lesson_workbench,
    trainer_of,
    watcher_of,
    workbench_of,
)
from gainstage.backends.protocol.trainer import OnSteps, Start, Trainer
from gainstage.backends.protocol.watching import Attachment, Listener, Watcher, Watching
from gainstage.backends.protocol.workbench import (
    FirstSteps,
    LayerLevel,
    LessonWorkbench,
    Norm,
    SoftmaxUse,
    Train,
    Watched,
    Workbench,
)

__all__ = [
    "Attachment", "Backend", "Detail", "FirstSteps", "Framework", "LayerLevel", "LessonWorkbench", "Listener", "Norm",
    "OnSteps", "SoftmaxUse", "Start", "Train", "Trainer", "Watched", "Watcher", "Watching", "Workbench", "backend_of",
    "framework_of", "lesson_workbench", "trainer_of", "watcher_of", "workbench_of",
]  # fmt: skip
