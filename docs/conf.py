"""Settings of Sphinx, which builds the documentation: `make docs`. Nothing in the pages is fetched from elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from artbank import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")

project = "artbank"
author = "the artbank authors"
release = __version__
language = "en_GB"
smartquotes = False  # options are written with two hyphens

extensions = ["myst_parser", "reference"]
exclude_patterns = ["_ext"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_heading_anchors = 4  # the same names as on a forge
myst_enable_extensions = ["colon_fence"]

highlight_language = "text"  # of blocks that name none: trees and diagrams
html_theme = "furo"
html_title = "artbank"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["artbank.css"]
html_theme_options = {
    "light_css_variables": {
        "font-stack": "system-ui, sans-serif",
        "color-brand-primary": "#8a3b12",
        "color-brand-content": "#8a3b12",
    },
    "dark_css_variables": {"color-brand-primary": "#f0a878", "color-brand-content": "#f0a878"},
}
linkcheck_timeout = 10
