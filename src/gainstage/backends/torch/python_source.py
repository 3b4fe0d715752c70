"""A model out of the user's own Python: ``package.module:attribute`` or ``path/file.py:attribute``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from torch import nn

from gainstage.errors import LoadError, UnknownNameError

__all__ = ["from_python"]


def from_python(name: str) -> nn.Module:
    """Import the module or file, which runs its code, and make a model of the attribute.

    The attribute is a module instance, or a class or function that returns one when it is called without arguments.
    The current directory is put on ``sys.path`` for a module, as ``python -m`` does, and a file's own directory for a
    file.

    Raises:
        LoadError: nothing is there to import, its own code raises, or it makes no model.
        UnknownNameError: the attribute does not exist.
    """
    source, colon, attribute = name.rpartition(":")
    # In C:\models\net.py the only colon belongs to the drive.
    if not colon or len(source) < 2 or not attribute or set(attribute) & {"/", "\\"}:
        raise LoadError(
            f"'{name}' names no model. Write package.module:attribute, path/file.py:attribute, torchvision:resnet50, "
            "timm:resnet50, hf:gpt2 or mlp:784x128x10."
        )
    is_file = source.endswith(".py") or bool(set(source) & {"/", "\\"})
    module = _import_file(Path(source)) if is_file else _import_module(source)
    return _as_model(_attribute(module, attribute, source), name)


def _import_module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Its own name or a package above it is missing; any other missing module is an import error inside it.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadError(
                f"There is no module '{error.name}' (looked for '{name}' from '{Path.cwd()}'). "
                "For a file write path/file.py:attribute."
            ) from error
        raise _failed(f"the module '{name}'", error) from error
    except (Exception, SystemExit) as error:
        raise _failed(f"the module '{name}'", error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"There is no file '{path}' (the current directory is '{Path.cwd()}').")
    path = path.resolve()
    # A name of its own: a user's file called torch.py must not take the place of torch.
    unique = "gainstage_file_" + re.sub(r"\W", "_", str(path.with_suffix("")))
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"'{path}' is not a Python file; its name must end in .py.")
    _search(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[unique]
        raise _failed(f"the file '{path}'", error) from error
    return module


def _search(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _failed(what: str, error: BaseException) -> LoadError:
    if isinstance(error, SystemExit):
        return LoadError(
            f"Importing {what} ends the program. Put what it does when run under: if __name__ == '__main__':"
        )
    if isinstance(error, SyntaxError):
        return LoadError(f"{what[0].upper()}{what[1:]} cannot be imported: {error}")
    return LoadError(f"Importing {what} raised {type(error).__name__}: {error}{_where(error)}.")


def _where(error: BaseException) -> str:
    """The last line of the user's code that was running."""
    ours = os.path.dirname(os.path.abspath(__file__))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((ours, "<")):
            return f" (at {frame.filename}, line {frame.lineno})"
    return ""


def _attribute(module: ModuleType, path: str, source: str) -> object:
    found: object = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [n for n in vars(found) if not n.startswith("_") and callable(getattr(found, n))]
            if not known:
                raise LoadError(
                    f"'{source}' has no attribute '{path}', and nothing in it that makes a model."
                ) from None
            raise UnknownNameError("attribute", part, known, where=f"'{source}'") from None
    return found


def _as_model(found: object, name: str) -> nn.Module:
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise LoadError(
            f"'{name}' is a {type(found).__name__}; a module, or a class or function that makes one, is needed."
        )
    missing = _needed(found)
    if missing:
        raise LoadError(
            f"'{name}' cannot be called without its arguments {', '.join(missing)}. Give them defaults, or name a "
            "function without arguments that calls it."
        )
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise LoadError(f"Calling '{name}' raised {type(error).__name__}: {error}{_where(error)}.") from error
    if not isinstance(made, nn.Module):
        raise LoadError(f"'{name}' returned a {type(made).__name__}; a torch.nn.Module is needed.")
    return made


def _needed(function: object) -> list[str]:
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # some built-in callables have none
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in optional]
