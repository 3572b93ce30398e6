"""`python -m artbank_cli`: the same as `artbank`."""

from artbank_cli.main import main

if __name__ == "__main__":
    main()
