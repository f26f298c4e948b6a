"""`python -m pyconv` is the command `pyconv`."""

import sys

from pyconv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
