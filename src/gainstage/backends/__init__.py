"""The only place that knows a framework."""

from gainstage.backends.protocol import (
    Backend,
    Framework,
    LessonWorkbench,
    Start,
    Trainer,
    Workbench,
    backend_of,
    framework_of,
    lesson_workbench,
    trainer_of,
    workbench_of,
)

__all__ = [
    "Backend", "Framework", "LessonWorkbench", "Start", "Trainer", "Workbench", "backend_of", "framework_of",
    "lesson_workbench", "trainer_of", "workbench_of",
]  # fmt: skip
