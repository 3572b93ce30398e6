"""The environment of a command: settings of Prefect, its home, proxies, and whether to show tracebacks."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from artbank.credentials import redact
from artbank.errors import ConfigError

DEBUG = "ARTBANK_DEBUG"
TIME_FORM = "%Y-%m-%d %H:%M:%S"
"""Form of the times in a log, of ours and of Prefect's lines alike."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def is_debug() -> bool:
    """Return whether to show tracebacks: after `--debug`, or with ARTBANK_DEBUG set to anything but 0."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def quiet_prefect(home: Path | None = None) -> None:
    """Set Prefect up for a terminal, unless the environment says otherwise. Call it before importing Prefect.

    Raises:
        ConfigError: PREFECT_HOME names a folder that cannot be written.
    """
    level = "WARNING" if sys.stderr.isatty() else "INFO"
    settings = {
        "PREFECT_LOGGING_EXTRA_LOGGERS": "artbank",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": TIME_FORM,
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # never pickles
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": level,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # its first start on a busy machine takes over 20
        "DO_NOT_TRACK": "1",
        **({"PREFECT_HOME": str(home)} if home else {}),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    for library in ("transformers", "diffusers"):
        os.environ.setdefault(f"{library.upper()}_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _leave_out_proxies()
    _choose_home()


def is_writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, which is created if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"1")
    except OSError:
        return False
    return True


def _leave_out_proxies() -> None:
    """Reach this machine without a proxy, and ignore proxies that Prefect's HTTP client does not know.

    The client refuses to work at all if one variable names such a proxy, even for addresses that need none.
    """
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join(dict.fromkeys((*hosts, *_LOOPBACK)))
    known = ["http", "https", *(["socks5", "socks5h"] if importlib.util.find_spec("socksio") else [])]
    for name in (*_PROXIES, *map(str.upper, _PROXIES)):
        value = os.environ.get(name, "")
        scheme = urlsplit(value).scheme if "://" in value else "http"
        if scheme not in known:
            del os.environ[name]
            advice = "; pip install socksio to use it" if scheme.startswith("socks5") else "; name an http:// proxy"
            print(f"artbank: {name}={redact(value)} is ignored: no support for {scheme}://{advice}", file=sys.stderr)


def _choose_home() -> None:
    """Give Prefect a temporary home where ~/.prefect cannot be written; profiles there are still read.

    Raises:
        ConfigError: PREFECT_HOME names a folder that cannot be written.
    """
    named = os.environ.get("PREFECT_HOME")
    if named:
        if not is_writable(Path(named)) and not os.environ.get("PREFECT_API_URL"):
            raise ConfigError(
                f"PREFECT_HOME={named}: expected a folder that can be written, for the private server's database; "
                "change its owner or mode, or unset PREFECT_HOME"
            )
        return
    try:
        home = Path("~/.prefect").expanduser()
    except RuntimeError:  # no HOME, and a user without an entry in the system's list
        home = None
    if home is not None and is_writable(home):
        return
    temporary = tempfile.mkdtemp(prefix="artbank-prefect-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    os.environ["PREFECT_HOME"] = temporary
    if home is not None and os.access(home / "profiles.toml", os.R_OK):
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(home / "profiles.toml"))
