"""A plan as source code of the framework that it was made for."""

from __future__ import annotations

from gainstage.errors import InputError, MissingPackageError
from gainstage.records import Plan

__all__ = ["code_of_plan"]


def code_of_plan(plan: Plan) -> str:
    """Write a plan as a PyTorch function; a plan of no known framework is taken for one of PyTorch.

    Raises:
        InputError: the plan is of a Keras model, or holds a scheme that has no such form.
        MissingPackageError: PyTorch is not installed.
    """
    if plan.framework == "keras":
        raise InputError(
            "This plan is of a Keras model, and plans are written as PyTorch code. In Keras, pass "
            "gs.keras.Initializer(scheme) as kernel_initializer, or save the plan with plan.save(path)."
        )
    try:
        from gainstage.backends.torch.writing.emit import emit
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingPackageError("torch", "Writing a plan as PyTorch code", "'gainstage[torch]'") from missing
    return emit(plan)
