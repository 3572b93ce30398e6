"""Write `.env` for compose.yaml: the example, with a new secret for every empty value.

    python3 deployments/new_env.py .env.example .env

An existing file stays unchanged, because existing databases use its secrets.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path


def main(example: Path, target: Path) -> None:
    """Write the file, readable by its owner alone."""
    text = re.sub(r"(?m)(?<==)$", lambda _: secrets.token_hex(24), example.read_text())
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{target} is there and keeps its secrets; to begin anew, delete it and the volumes made with it")
    with os.fdopen(handle, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
