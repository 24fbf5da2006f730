"""The reference model of Starling's end-to-end encryption."""

import argparse
import json
import pathlib
import sys

from . import spoil, trace, vectors
from .produce import produce


def check_vectors(arguments):
    passed, failures = vectors.run(arguments.directory)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


def make(arguments):
    document = produce(arguments.seed, arguments.post_quantum)
    json.dump(document, sys.stdout, indent=0)
    print()
    return 0


def replay(arguments):
    failed = 0
    for path in arguments.trace:
        try:
            events = trace.replay(json.loads(pathlib.Path(path).read_text()))
            print(f"replayed {path}: {events} events")
        except trace.Mismatch as mismatch:
            failed += 1
            print(f"FAILED {path}: {mismatch}")
    return 1 if failed else 0


def spoil_trace(arguments):
    json.dump(spoil.spoil(json.loads(pathlib.Path(arguments.trace).read_text()), arguments.how), sys.stdout, indent=0)
    print()
    return 0


def main():
    parser = argparse.ArgumentParser(prog="starling_reference", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("vectors", help="check every case of a directory of e2ee vectors")
    verb.add_argument("directory")
    verb.set_defaults(run=check_vectors)
    verb = verbs.add_parser("produce", help="write a trace to standard output")
    verb.add_argument("--seed", type=int, required=True)
    verb.add_argument("--post-quantum", action="store_true", help="with the post-quantum ratchet (B8)")
    verb.set_defaults(run=make)
    verb = verbs.add_parser("replay", help="exit code 1 if a trace comes out otherwise")
    verb.add_argument("trace", nargs="+")
    verb.set_defaults(run=replay)
    verb = verbs.add_parser("spoil", help="write a trace with one thing in it made wrong")
    verb.add_argument("how", choices=sorted(spoil.WAYS))
    verb.add_argument("trace")
    verb.set_defaults(run=spoil_trace)
    arguments = parser.parse_args()
    return arguments.run(arguments)


sys.exit(main())
