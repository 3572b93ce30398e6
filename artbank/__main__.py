"""`python -m artbank`: says which command there is, for the core knows no command line."""

import sys

if __name__ == "__main__":
    print("artbank: expected `artbank` or `python -m artbank_cli`; the package artbank is for Python", file=sys.stderr)
    sys.exit(2)
