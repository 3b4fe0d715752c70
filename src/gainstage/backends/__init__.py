"""The only place that knows a framework.

Importing this package lets plans write themselves as code: ``plan.to_code()``.
"""

from gainstage.backends.code import code_of_plan
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
from gainstage.records import Plan, register_code

__all__ = [
    "Backend", "Framework", "LessonWorkbench", "Start", "Trainer", "Workbench", "backend_of", "framework_of",
    "lesson_workbench", "trainer_of", "workbench_of",
]  # fmt: skip

register_code(Plan, code_of_plan)
