"""The command line: vectors, produce, replay, spoil."""

import argparse
import sys

from . import vectors


def main():
    parser = argparse.ArgumentParser(prog="starling_reference", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("vectors", help="check tests/vectors/e2ee")
    verb.add_argument("directory")
    arguments = parser.parse_args()
    passed, failures = vectors.run(arguments.directory)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


sys.exit(main())
