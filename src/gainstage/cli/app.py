"""The group of all commands: each is loaded when it is asked for; a failure is one line and an exit code."""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import rich_click as click
from click.core import ParameterSource
from click.exceptions import Exit

from gainstage import __version__
from gainstage.cli.configuration import configured, defaults
from gainstage.cli.streams import discard_output, prepare_streams
from gainstage.errors import GainstageError, ModelError, UnknownNameError

__all__ = ["COMMANDS", "gainstage"]

_NAMES = (
    "demo", "check", "fix", "predict", "formats", "scaling", "preflight", "plan", "init", "compare", "run", "watch",
    "rule", "gain", "ask", "lab", "schema",
)  # fmt: skip
COMMANDS = {name: f"gainstage.cli.commands.{name}" for name in _NAMES}
"""Every command is the object ``command`` in a module of its own."""


def _import(name: str) -> click.Command:
    command: click.Command = importlib.import_module(COMMANDS[name]).command
    return command


class Commands(click.RichGroup):
    """Commands that are imported when they are used, with gainstage's exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module."""
        return _import(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for; a slip of the finger is answered with the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show the traceback of what it raises where that was asked for."""
        try:
            return super().invoke(ctx)
        except Exit:
            raise
        except BrokenPipeError:  # click would make it a 1, which means findings
            discard_output()
            return 0
        except SystemExit as error:
            raise ModelError(
                f"The model's own code ended the program (sys.exit, code {error.code!r}) before it could be judged. "
                "Take the call out of what runs in a forward pass."
            ) from error
        except Exception as error:
            if not (ctx.obj or {}).get("traceback"):
                raise
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            raise Exit(2) from error

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **settings: Any
    ) -> NoReturn:
        """Run, and exit with 0, 1, 2 or 130."""
        settings["standalone_mode"] = False
        prepare_streams()
        try:
            code = super().main(args, prog_name, **settings)
            sys.stdout.flush()
        except click.Abort:
            click.echo("gainstage: interrupted", err=True)
            code = 130
        except BrokenPipeError:
            discard_output()  # the reader went away (`| head`)
            code = 0
        except Exception as error:
            for line in _explain(error):
                click.echo(line, err=True)
            if isinstance(error, OSError):
                discard_output()
            code = 2
        sys.exit(code if isinstance(code, int) else 0)


_TOO_LARGE = (
    "There is not enough memory. Make the model or --batch-size smaller, or predict without memory: --device meta."
)


def _set_elsewhere(error: click.UsageError) -> str:
    """Return the source of a wrong value, if it is not the command line."""
    ctx, name = error.ctx, getattr(getattr(error, "param", None), "name", None)
    if ctx is None or name is None:
        return ""
    match ctx.get_parameter_source(name):
        case ParameterSource.DEFAULT_MAP:
            return f" It is set in '{(ctx.find_root().obj or {}).get('configuration', 'pyproject.toml')}'."
        case ParameterSource.ENVIRONMENT:
            variable = getattr(error.param, "envvar", None)  # type: ignore[attr-defined]
            return f" It is set by the environment variable {variable}."
    return ""


def _explain(error: Exception) -> Iterator[str]:
    match error:
        case click.UsageError():
            yield f"gainstage: {error.format_message()}{_set_elsewhere(error)}"
            if error.ctx:
                yield f"See '{error.ctx.command_path} --help'."
        case click.ClickException():
            yield f"gainstage: {error.format_message()}"
        case GainstageError():
            yield f"gainstage: {error}"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EIO | errno.EBADF):
            yield f"gainstage: The output cannot be written: {error.strerror}."
        case MemoryError():
            yield f"gainstage: {_TOO_LARGE}"
        case RuntimeError() if "alloc" in str(error) or "out of memory" in str(error):
            yield f"gainstage: {_TOO_LARGE}"
        case _:
            yield f"gainstage: {type(error).__name__}: {error}"
            yield "This was not expected. Please report it, with what --traceback prints."


_SETTINGS = {"help_option_names": ["-h", "--help"], "rich_help_config": {"text_paragraph_linebreaks": "\n\n"}}


@click.group(cls=Commands, context_settings=_SETTINGS)
@click.option("--quiet", "-q", is_flag=True, help="Print no progress; results and errors only.")
@click.version_option(__version__, message="gainstage %(version)s")
@click.pass_context
def gainstage(ctx: click.Context, quiet: bool) -> None:
    """Sets the level of every layer before step one.

    Checks a deep network's signal and gradient at the start of training, names what is wrong, mends it and looks again.

    Options can also be set in the environment (GAINSTAGE_BATCH_SIZE=64) or in pyproject.toml under [tool.gainstage]
    (batch-size = 64); the command line wins, then the environment.

    Exit codes: 0 healthy, 1 findings at or above --fail-on, 2 could not run, 130 interrupted.

    \b
        gainstage demo
        gainstage check mlp:64x128x128x10,act=sigmoid --data digits
        gainstage check mypackage.nets:build --input 3,32,32
        gainstage fix src/net.py:Net --input 3,32,32 --out mended.safetensors
    """  # noqa: D301 (click's mark for a paragraph that is not re-wrapped)
    ctx.ensure_object(dict)["quiet"] = quiet
    table = configured()
    if table is not None:
        ctx.obj["configuration"] = table.file
        ctx.default_map = defaults(table, {name: _import(name) for name in COMMANDS})
