"""The command line: `python -m clients --help`."""
