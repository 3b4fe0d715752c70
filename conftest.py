"""What is collected: the Keras backend only where one of its backends was chosen, in a process of its own."""

import importlib.util
import os

_CHOSEN = "KERAS_BACKEND" in os.environ and importlib.util.find_spec("keras") is not None

_KERAS = ["src/gainstage/backends/keras/*", "tests/backends_keras/*", "tests/exam/test_exam_in_keras.py"]
collect_ignore_glob = [] if _CHOSEN else _KERAS
