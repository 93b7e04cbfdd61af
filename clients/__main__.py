"""Entry point of the command line: `python -m clients --help`."""

import sys

from clients.cli.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
