"""Watch a training of Keras on any of its backends: losses of every step, and looks at a probe batch."""

from gainstage.backends.keras.watching.attached import Attached, attach, watched
from gainstage.backends.keras.watching.probe import some_examples
from gainstage.backends.keras.watching.reporting import Reporting

__all__ = ["Attached", "Reporting", "attach", "some_examples", "watched"]
