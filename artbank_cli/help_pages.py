"""The text of `--help`: options in panels by group, those that must be given first, right at every width.

Each option has a line of its own, with its description below it, so that no name and no text is cut off. Commands with
groups of options for experts show them by `--help-all` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from artbank.parameters.groups import FIRST_GROUPS
from artbank_cli.settings_file import find_defaults

REQUIRED = "(required)"
"""Ends the description of an option or argument that the parser does not demand, since a file may hold it."""
_TOO_MANY = "; put a name with spaces between quotes, and name a folder in place of its files (`photos/*.jpg`)"
_LAST_PANEL = "Options"
_MOST_COLUMNS = 100


def _print_all(context: typer.Context, is_asked: bool) -> None:
    if is_asked:
        _print_help(context.command, context, has_all=True)
        raise typer.Exit


HelpAllOption = Annotated[
    bool, typer.Option("--help-all", is_eager=True, callback=_print_all, help="Show every option and exit.")
]
"""An option of commands whose `--help` leaves out groups of options."""


class HelpedCommand(TyperCommand):
    """A command whose help is written by this module."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse a command line, with the places of `artbank.toml` as defaults."""
        defaults = find_defaults(self.params)
        return super().make_context(info_name, args, parent, **{"default_map": defaults, **extra})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; says why there may be too many of them."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # typer has a click of its own, whose errors have no public name
            if "unexpected extra argument" in getattr(error, "message", ""):
                error.message += _TOO_MANY  # pyright: ignore[reportAttributeAccessIssue]
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help of the command: its first groups, and where the others are."""
        _print_help(self, ctx)


class HelpedGroup(TyperGroup):
    """A group of commands whose help is written by this module."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse a command line, with the places of `artbank.toml` as defaults."""
        defaults = find_defaults(self.params)
        return super().make_context(info_name, args, parent, **{"default_map": defaults, **extra})

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help of the group: its options, then its commands."""
        _print_help(self, ctx)


def _print_help(command: Any, ctx: Any, *, has_all: bool = False) -> None:
    from rich.console import Console  # loaded only where it prints
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, _MOST_COLUMNS)
    console.print(Padding(Text(_usage(command, ctx), style="bold"), (1, 1, 0, 1)))
    for paragraph in (command.help or "").split("\n\n"):
        console.print(Padding(Text(" ".join(paragraph.split())), (1, 1, 0, 1)))
    console.print()
    panels = _panels(command.get_params(ctx))
    further = [] if has_all else _find_further(panels)
    for title, parameters in panels.items():
        if title not in further:
            _print_panel(console, title, [_describe(parameter) for parameter in parameters])
    for title, commands in _command_panels(command, ctx).items():
        _print_panel(console, title, commands)
    if further:
        where = f"{ctx.command_path} --help-all shows more options, in the groups {', '.join(further)}."
        console.print(Padding(Text(where), (0, 1, 1, 1)))


def _find_further(panels: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the titles of the panels that `--help` leaves out: none, unless it knows which come first."""
    return (
        [title for title in panels if title not in (*FIRST_GROUPS, _LAST_PANEL)] if FIRST_GROUPS & panels.keys() else []
    )


def _usage(command: Any, ctx: Any) -> str:
    return f"Usage: {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}"


def _panels(parameters: Sequence[Any]) -> dict[str, list[Any]]:
    """Return parameters by the title of their panel, in the order of their declaration."""
    panels: dict[str, list[Any]] = {}
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            panels.setdefault(_title(parameter), []).append(parameter)
    if _LAST_PANEL in panels:
        panels[_LAST_PANEL] = panels.pop(_LAST_PANEL)
    return {
        title: sorted(members, key=lambda parameter: not _is_required(parameter)) for title, members in panels.items()
    }


def _title(parameter: Any) -> str:
    default = "Arguments" if parameter.param_type_name == "argument" else _LAST_PANEL
    return getattr(parameter, "rich_help_panel", None) or default


def _is_required(parameter: Any) -> bool:
    return parameter.required or (parameter.help or "").endswith(REQUIRED)


def _describe(parameter: Any) -> tuple[str, str, str]:
    """Return names, kind of value, and description of an option or argument."""
    is_argument = parameter.param_type_name == "argument"
    names = [parameter.metavar or parameter.name.upper()] if is_argument else _list_names(parameter)
    kinds = ["" if is_argument else _kind(parameter), REQUIRED if _is_required(parameter) else ""]
    text = (parameter.help or "").removesuffix(REQUIRED).strip()
    if parameter.envvar:
        text = f"{text} Environment: {parameter.envvar}."
    return ", ".join(names), " ".join(filter(None, kinds)), text


def _list_names(option: Any) -> list[str]:
    """Return the names of an option, the short one first."""
    return [*sorted(option.opts, key=len), *option.secondary_opts]


def _kind(option: Any) -> str:
    if option.metavar:
        return option.metavar
    return "" if getattr(option, "is_flag", False) else "TEXT"


def _command_panels(command: Any, ctx: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Return the commands of a group by the title of their panel, each with the first sentence of its help."""
    panels: dict[str, list[tuple[str, str, str]]] = {}
    for name in command.list_commands(ctx) if isinstance(command, TyperGroup) else ():
        inner = command.get_command(ctx, name)
        if inner is not None and not inner.hidden:
            first = " ".join((inner.help or "").split("\n\n")[0].split())
            panels.setdefault(getattr(inner, "rich_help_panel", None) or "Commands", []).append((name, "", first))
    return panels


def _print_panel(console: Any, title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    from rich.console import Group
    from rich.panel import Panel

    console.print(Panel(Group(*_lines(rows)), title=title, title_align="left", border_style="dim"))


def _lines(rows: Sequence[tuple[str, str, str]]) -> Iterator[Any]:
    from rich.padding import Padding
    from rich.text import Text

    for names, kind, text in rows:
        head = Text(names, style="bold cyan", overflow="fold")
        if kind:
            head.append(f" {kind}", style="yellow")
            head.highlight_words([REQUIRED], style="bold red")
        yield head
        if text:
            yield Padding(Text(text, overflow="fold"), (0, 0, 0, 4))
