"""A model out of the user's own Python: ``package.module:attribute`` or ``path/file.py:attribute``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from gainstage.errors import LoadError, UnknownNameError

__all__ = ["found_in_python", "made_from", "require_source", "words_of"]


_WEIGHTS = frozenset({".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".h5"})


def found_in_python(name: str) -> object:
    """Import the module or file, which runs its code, and look up the attribute.

    The current directory is put on ``sys.path`` for a module, as ``python -m`` does, and a file's own directory for a
    file.

    Raises:
        LoadError: nothing is there to import, or its own code raises.
        UnknownNameError: the attribute does not exist.
    """
    source, attribute = _parts(name)
    module = _import_file(Path(source)) if _is_file(source) else _import_module(source)
    return _attribute(module, attribute, source)


def require_source(name: str) -> None:
    """Refuse a name whose module or file does not exist, before a framework is imported for it.

    Raises:
        LoadError: the name cannot be read, or nothing is there to import.
    """
    source, _ = _parts(name)
    if _is_file(source):
        if not Path(source).is_file():
            raise _absent(Path(source))
        return
    _search(Path.cwd())
    root = source.split(".")[0]
    try:
        found = root in sys.modules or importlib.util.find_spec(root) is not None
    except (ImportError, ValueError):  # importing it will say what is wrong
        return
    if not found:
        raise _no_module(root, source)


def words_of(name: str) -> str:
    """The text of the module or file, unread by Python; empty where there is none."""
    try:
        source, _ = _parts(name)
        if _is_file(source):
            return Path(source).read_text(encoding="utf-8")
        _search(Path.cwd())
        spec = importlib.util.find_spec(source)
        return Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
    except (Exception, SystemExit):  # whatever is wrong with it, importing it says so better
        return ""


def _is_file(source: str) -> bool:
    return source.endswith(".py") or bool(set(source) & {"/", "\\"})


def _parts(name: str) -> tuple[str, str]:
    source, colon, attribute = name.rpartition(":")
    # In C:\models\net.py the only colon belongs to the drive.
    if not colon or len(source) < 2 or not attribute or set(attribute) & {"/", "\\"}:
        if Path(name).suffix in _WEIGHTS:
            raise LoadError(
                f"'{name}' is a file of weights, which no model can be read from. Name the model, and give the file "
                f"to it: gainstage check package.module:attribute --weights {name}"
            )
        raise LoadError(
            f"'{name}' names no model. Write package.module:attribute, path/file.py:attribute, torchvision:resnet50, "
            "timm:resnet50, hf:gpt2, keras:ResNet50 or mlp:784x128x10."
        )
    return source, attribute


def _import_module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Its own name or a package above it is missing; any other missing module is an import error inside it.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise _no_module(error.name, name) from error
        raise _failed(f"the module '{name}'", error) from error
    except (Exception, SystemExit) as error:
        raise _failed(f"the module '{name}'", error) from error


def _no_module(missing: str, name: str) -> LoadError:
    return LoadError(
        f"There is no module '{missing}' (looked for '{name}' from '{Path.cwd()}'). "
        "For a file write path/file.py:attribute."
    )


def _absent(path: Path) -> LoadError:
    return LoadError(f"There is no file '{path}' (the current directory is '{Path.cwd()}').")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise _absent(path)
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


def made_from(
    found: object, name: str, is_model: Callable[[object], bool], sizes: Mapping[str, int] | None = None
) -> object:
    """The attribute itself if it is a model, or what it returns when it is called without arguments.

    Args:
        found: the attribute.
        name: as it was asked for.
        is_model: tells a model of a known framework.
        sizes: arguments ``width`` and ``depth`` that it is called with.

    Raises:
        LoadError: its own code raises, or it makes no model.
    """
    sizes = dict(sizes or {})
    if is_model(found) and not sizes:
        return found
    if not callable(found):
        raise LoadError(
            f"'{name}' is a {type(found).__name__}; a model, or a class or function that makes one, is needed."
        )
    missing = [argument for argument in _needed(found) if argument not in sizes]
    if missing:
        raise LoadError(
            f"'{name}' cannot be called without its arguments {', '.join(missing)}. Give them defaults, or name a "
            "function without arguments that calls it."
        )
    try:
        made: object = found(**sizes)
    except (Exception, SystemExit) as error:
        raise LoadError(f"Calling '{name}' raised {type(error).__name__}: {error}{_where(error)}.") from error
    if not is_model(made):
        raise LoadError(f"'{name}' returned a {type(made).__name__}; a torch.nn.Module or a Keras model is needed.")
    return made


def _needed(function: object) -> list[str]:
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # some built-in callables have none
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in optional]
