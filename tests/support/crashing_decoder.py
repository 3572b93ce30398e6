"""A decoder that crashes on photos 97 px wide; tests replace the real one by it."""

from __future__ import annotations

import os
import signal
from typing import Any

from artbank.images.codec_jobs import decode_photo

DEADLY_PX = 97


def die_or_decode(*args: Any) -> Any:
    """Decode a photo as `decode_photo` does, unless it has the deadly width."""
    decoded = decode_photo(*args)
    if decoded.photo.width_px == DEADLY_PX:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decoded
