"""Published networks as trainings: small configurations of Hugging Face's transformers, and five networks in Keras.

Each keeps the start that its library's own code draws. Data, loss and metric are those of the exam of starts.
"""

from __future__ import annotations

from published_nets.hugging_face import hugging_face_cases

__all__ = ["hugging_face_cases", "keras_cases"]


def keras_cases():
    """Return the cases in Keras; imports Keras, which reads KERAS_BACKEND then."""
    from published_nets.in_keras import CASES

    return CASES
