"""What is collected: the Keras backend only where one of its backends was chosen, in a process of its own."""

import importlib.util
import os

_CHOSEN = "KERAS_BACKEND" in os.environ and importlib.util.find_spec("keras") is not None

_KERAS = [
    "src/gainstage/backends/keras/*", "src/gainstage/integrations/keras.py", "tests/backends_keras/*",
    "tests/exam/test_exam_in_keras.py",
]  # fmt: skip
_TRAINERS = ["src/gainstage/integrations/lightning.py", "src/gainstage/integrations/transformers.py"]
"""They import trainers, which takes seconds in every process that collects; their examples are whole programs."""
collect_ignore_glob = _TRAINERS if _CHOSEN else [*_TRAINERS, *_KERAS]
