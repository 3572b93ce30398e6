"""The lines of a table in text, CSV or JSONL, record by record, none of them longer than a limit."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

LONGEST_RECORD = 2**20
"""Characters of a row of CSV or JSONL."""


class EndlessRecord(ValueError):
    """A record of several lines is too long; probably a quoted text does not end."""


class Records:
    """The lines of a text; leaves out a line that is too long, and refuses a record of several that is.

    Attributes:
        is_at_end: Whether a line was asked for after the last one.
    """

    def __init__(self, text: str, report: Callable[[str, str], None], num_headers: int):
        """Begin before the first line.

        Args:
            text: The text.
            report: Is given the place of a line that is left out, and what is wrong with it.
            num_headers: First lines that are refused, not left out, if they are too long.
        """
        self.is_at_end = False
        self._lines = io.StringIO(text, newline="")
        self._report = report
        self._num_headers = num_headers
        self._number = 0  # of the last line
        self._first = 1  # line of the record
        self._length = 0  # characters of the record

    @property
    def place(self) -> str:
        """The line that the record begins in."""
        return f"line {self._first}"

    @property
    def is_one_line(self) -> bool:
        """Whether the record has one line, and more follow."""
        return self._number == self._first and not self.is_at_end

    def begin(self) -> None:
        """Begin the next record with the next line."""
        self._first = self._number + 1
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the lines.

        Raises:
            EndlessRecord: A record of several lines is too long.
        """
        for line in self._lines:
            self._number += 1
            if not self._length and not line.strip():
                self.begin()
            elif not self._length and len(line) > LONGEST_RECORD and self._number > self._num_headers:
                self._report(self.place, f"is longer than {LONGEST_RECORD:,} characters")
                self.begin()
                continue
            else:
                self._length += len(line)
            if self._length > LONGEST_RECORD:
                raise EndlessRecord(f"expected rows of at most {LONGEST_RECORD:,} characters")
            yield line
        self.is_at_end = True
