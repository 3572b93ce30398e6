"""The program that deploys is a file of `deployments`, and no part of a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "deployments"))
