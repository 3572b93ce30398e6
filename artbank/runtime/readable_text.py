"""Make texts safe to show: names of files can hold characters that steer a terminal, forge lines or reverse text."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence

_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separators
_JOINERS = "\u200c\u200d"  # belong to the spelling of Persian and Indian words, and of emoji
_MOST_NAMED = 3
_OWN_LOGGERS = ("artbank", "prefect.flow_runs", "prefect.task_runs")


def escape_invisible(text: str, *, keep: str = "") -> str:
    r"""Return a text with control, bidirectional and other invisible characters as escapes such as `\x1b`.

    Args:
        text: The text.
        keep: Characters to leave as they are, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(
        _escape(c) if unicodedata.category(c) in _HARMFUL and c not in _JOINERS and c not in keep else c for c in text
    )


def drop_invisible(text: str) -> str:
    """Return a text without control, bidirectional and other invisible characters; joiners of letters stay."""
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in _HARMFUL or c in _JOINERS)


def list_names(names: Sequence[str]) -> str:
    """Return the first three names as text, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED:,} more"


def escape_log_messages() -> None:
    """Escape the messages of all log records of this process from now on.

    Line breaks stay in the messages of other libraries. In those of artbank and of its runs they can only come from a
    name or an error, and would look like log lines of their own.
    """
    logging.setLogRecordFactory(_EscapedRecord)


class _EscapedRecord(logging.LogRecord):
    def getMessage(self) -> str:
        """Return the message, escaped."""
        is_own = self.name.startswith(_OWN_LOGGERS)
        return escape_invisible(super().getMessage(), keep="" if is_own else "\n\t")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
