"""The rules that tell which files of an archive or a gallery are no photos: one list, which people can see and change.

A rule is a glob. One that ends in `/` matches a folder and everything in it, any other one matches a file, each at any
depth; `*` and `?` stay within a name, and case does not matter. The built-in rules come first, then those of `skip`,
and the last rule that matches a file decides: `!*.txt` takes text files back, `!default` all built-in rules.

Raw files and images of formats that artbank cannot read are photos: they get a failed row that says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from fsspec.utils import glob_translate

from artbank.errors import ConfigError

_HEX = "[0-9a-f]"

DEFAULT_RULES: dict[str, tuple[str, ...]] = {
    "thumbnails, snapshots and wastebaskets of a NAS": (
        *("@eaDir/", "@tmp/", "@Recycle/", "@Recently-Snapshot/", "#recycle/", "#snapshot/", "~snapshot/"),
        *("Network Trash Folder/", "TheVolumeSettingsFolder/"),
    ),
    "folders of operating systems": (
        *("$RECYCLE.BIN/", "RECYCLER/", "System Volume Information/", "FOUND.???/", "lost+found/"),
        *("Temporary Items/", "__MACOSX/"),
    ),
    "previews and databases of photo programs": (
        *("*.lrdata/", "*.photoslibrary/resources/", "*.photoslibrary/database/", "*.photoslibrary/private/"),
        *("CaptureOne/", "Thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "ZbThumbnail.info", "desktop.ini"),
        *("Picasa.ini", "*.lrcat", "*.lrcat-data", "*.lrtemplate", "*.cocatalog", "*.ini", "*.db", "*.sqlite"),
    ),
    "sidecars of photos": (
        *("*.xmp", "*.aae", "*.thm", "*.dop", "*.pp3", "*.cos", "*.cot", "*.cop", "*.nksc", "*.vrd", "*.on1"),
        *("*.moff", "*.modd", "*.exif", "*.arp", "*.rrdata"),
    ),
    "videos and their parts": (
        *(
            "*.mov",
            "*.mp4",
            "*.m4v",
            "*.avi",
            "*.mkv",
            "*.webm",
            "*.mpg",
            "*.mpeg",
            "*.mts",
            "*.m2ts",
            "*.3gp",
            "*.3g2",
        ),
        *("*.wmv", "*.flv", "*.vob", "*.mod", "*.lrv", "*.insv", "*.ogv", "*.srt"),
    ),
    "sound": ("*.mp3", "*.wav", "*.m4a", "*.aac", "*.flac", "*.ogg", "*.wma", "*.aif", "*.aiff", "*.opus"),
    "texts, tables and tracks": (
        *("*.txt", "*.md", "*.rtf", "*.log", "*.caption", "*.csv", "*.tsv", "*.json", "*.jsonl", "*.xml", "*.yaml"),
        *("*.yml", "*.parquet", "*.html", "*.htm", "*.css", "*.js", "*.pdf", "*.doc", "*.docx", "*.odt", "*.xls"),
        *("*.xlsx", "*.ods", "*.ppt", "*.pptx", "*.odp", "*.gpx", "*.kml", "*.kmz", "*.nmea", "*.ics", "*.eml"),
    ),
    "archives, programs and the rest": (
        *("*.zip", "*.rar", "*.7z", "*.tar", "*.gz", "*.tgz", "*.bz2", "*.xz", "*.iso", "*.dmg", "*.exe", "*.msi"),
        *("*.dll", "*.sh", "*.bat", "*.py", "*.pyc", "*.lnk", "*.url", "*.webloc", "*.icc", "*.icm", "*.ttf", "*.otf"),
        *("*.md5", "*.sha1", "*.sha256", "*.sfv", "*.par2", "*.part", "*.crdownload", "*.tmp", "*.bak"),
    ),
    "labels and arrays of datasets": (
        *("*.cls", "*.npy", "*.npz", "*.pyd", "*.pkl", "*.pickle", "*.mat", "*.h5", "*.hdf5", "*.arrow", "*.tfrecord"),
    ),
    "files of models": ("*.safetensors", "*.ckpt", "*.pt", "*.pth", "*.onnx", "*.gguf"),
    "pages, contact sheets and banks of artbank": (  # the names are hashes, so no photo of people has them
        *(f"report/pictures/{_HEX * 24}.jpg", f"runs/{_HEX * 16}/", f"page/pictures/*-{_HEX * 16}.jpg"),
        f"banks/*/{_HEX * 16}/",
    ),
}
"""The built-in rules, by what they match."""

DEFAULT = "default"
"""The word for all built-in rules; `!default` takes them back."""

CONTAINERS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
"""What the names of files end with that hold other files; the built-in rules skip them, though they may hold photos."""

_SPECIAL = re.compile(r"[*?\[/]")


class SkipRules:
    """Tells which files are no photos."""

    def __init__(self, rules: Sequence[str] = ()):
        """Take the rules of `skip`, which follow the built-in ones.

        Raises:
            ConfigError: A rule is empty or no glob.
        """
        groups = groupby(_expand((DEFAULT, *rules)), key=lambda rule: rule.startswith("!"))
        matchers = [(not is_back, _Matcher(rule.lstrip("!") for rule in group)) for is_back, group in groups]
        self._matchers = matchers[::-1]  # the last rule that matches decides
        self._asked = _Matcher(rule for rule in rules if not rule.startswith("!"))
        self._latest_folder = ("", False)

    def skip(self, key: str) -> bool:
        """Return whether a file is no photo."""
        folder, _, name = key.lower().rpartition("/")
        for is_skipped, matcher in self._matchers:
            if matcher.matches_file(folder, name) or matcher.matches_folder(folder):
                return is_skipped
        return False

    def is_container(self, key: str) -> bool:
        """Return whether a file that is skipped may hold photos: no rule of `skip` and no folder is the reason."""
        key = key.lower()
        if not key.endswith(CONTAINERS):
            return False
        folder, _, name = key.rpartition("/")
        return not self.skip_folder(folder) and not self._asked.matches_file(folder, name)

    def skip_folder(self, folder: str) -> bool:
        """Return whether a folder, or one that it lies in, holds no photos; see `skip` for single files."""
        folder = folder.lower()
        if folder != self._latest_folder[0]:
            verdicts = (is_skipped for is_skipped, matcher in self._matchers if matcher.matches_folder(folder))
            self._latest_folder = (folder, next(verdicts, False))
        return self._latest_folder[1]


class _Matcher:
    """Matches rules of one kind, all in lower case. Plain names and endings are looked up, since most rules are."""

    def __init__(self, rules: Iterable[str]):
        folders: list[str] = []
        files: list[str] = []
        for rule in rules:
            (folders if rule.endswith("/") else files).append(rule.lower().removesuffix("/"))
        self._endings = {file[2:] for file in files if _is_ending(file)}
        self._names = {file for file in files if not _SPECIAL.search(file)}
        self._files = _compile(file for file in files if not _is_ending(file) and file not in self._names)
        self._folders = _compile(folders)
        self._latest_folder = ("", False)

    def matches_file(self, folder: str, name: str) -> bool:
        """Return whether a rule for files matches."""
        _, dot, ending = name.rpartition(".")
        if name in self._names or (dot and ending in self._endings):
            return True
        return self._files is not None and self._files.fullmatch(f"{folder}/{name}") is not None

    def matches_folder(self, folder: str) -> bool:
        """Return whether a rule for folders matches a folder, or one that it lies in."""
        if self._folders is None or not folder:
            return False
        if folder != self._latest_folder[0]:  # of most files in a listing it is that of the file before
            parts = folder.split("/")
            outer = ("/".join(("", *parts[:count])) for count in range(1, len(parts) + 1))
            self._latest_folder = (folder, any(self._folders.fullmatch(path) for path in outer))
        return self._latest_folder[1]


def is_packed(name: str) -> bool:
    """Return whether a file may hold images inside, by its name: a container or a table."""
    return name.lower().endswith((*CONTAINERS, ".parquet"))


def list_rules() -> list[str]:
    """Return the built-in rules."""
    return [rule for rules in DEFAULT_RULES.values() for rule in rules]


def _expand(rules: Iterable[str]) -> Iterator[str]:
    """Yield rules with the built-in ones in place of their word."""
    for rule in rules:
        back = "!" if rule.startswith("!") else ""
        bare = rule.removeprefix("!")
        if not bare.strip("/"):
            raise ConfigError(f"expected a glob such as *.xmp or @eaDir/, found {rule!r}; see the rules of skip")
        if bare == DEFAULT:
            yield from (f"{back}{built_in}" for built_in in list_rules())
        else:
            yield rule


def _is_ending(file: str) -> bool:
    return file.startswith("*.") and not _SPECIAL.search(file[2:]) and "." not in file[2:]


def _compile(globs: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of paths that begin with `/`; None without globs."""
    translated = [_translate(glob) for glob in globs]
    return re.compile(f"(?:.*/)?(?:{'|'.join(translated)})") if translated else None


def _translate(glob: str) -> str:
    try:
        return glob_translate(glob.removeprefix("/"))
    except ValueError as error:
        raise ConfigError(f"expected a glob such as *.xmp or @eaDir/, found {glob!r}: {error}") from error
