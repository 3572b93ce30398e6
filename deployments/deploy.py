"""Create work pools with limits, automations and deployments on the Prefect server at PREFECT_API_URL.

    python deployments/deploy.py --pools process|docker|kubernetes [--gpus N] [--create-buckets] [--notify URL]

The same as `artbank deploy`, which takes the same options and needs no checkout.
"""

from __future__ import annotations

import sys

from artbank_cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "deploy")
    main()
