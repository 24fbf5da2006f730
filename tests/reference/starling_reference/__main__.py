"""The reference model of Starling's end-to-end encryption."""

import argparse
import json
import pathlib
import sys

from . import spoil, trace, vectors
from .contacts import produce_contacts
from .produce import produce


def check_vectors(arguments):
    passed, failures = vectors.run(arguments.directory)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


def make(arguments):
    if arguments.contacts:
        document = produce_contacts(arguments.seed)
    else:
        document = produce(arguments.seed, arguments.post_quantum, arguments.hostile)
    write(document, arguments.output)
    return 0


def write(document, path):
    text = json.dumps(document, indent=1) + "\n"
    if path is None:
        sys.stdout.write(text)
    else:
        pathlib.Path(path).write_text(text)


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
    document = json.loads(pathlib.Path(arguments.trace).read_text())
    spoil.WAYS[arguments.how](document)
    write(document, arguments.output)
    return 0


def spoil_vectors(arguments):
    spoiled = 0
    for path in sorted(pathlib.Path(arguments.directory).glob("*.json")):
        document = json.loads(path.read_text())
        spoiled += spoil.spoil_vectors(document)
        write(document, pathlib.Path(arguments.output) / path.name)
    print(spoiled)
    return 0


def list_ways(_):
    print("\n".join(sorted(spoil.WAYS)))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="starling_reference", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("vectors", help="check every case of a directory of e2ee vectors")
    verb.add_argument("directory")
    verb.set_defaults(run=check_vectors)
    verb = verbs.add_parser("produce", help="write a trace")
    verb.add_argument("--seed", type=int, required=True)
    verb.add_argument("--post-quantum", action="store_true", help="with the post-quantum ratchet (B8)")
    verb.add_argument("--hostile", action="store_true", help="a short one, for what a hostile peer may try")
    verb.add_argument("--contacts", action="store_true", help="the one with several sessions; always with B8")
    verb.add_argument("--output", help="a file; standard output without it")
    verb.set_defaults(run=make)
    verb = verbs.add_parser("replay", help="exit code 1 if a trace comes out otherwise")
    verb.add_argument("trace", nargs="+")
    verb.set_defaults(run=replay)
    verb = verbs.add_parser("spoil", help="write a trace with one thing in it made wrong")
    verb.add_argument("how", choices=sorted(spoil.WAYS))
    verb.add_argument("trace")
    verb.add_argument("--output", help="a file; standard output without it")
    verb.set_defaults(run=spoil_trace)
    verb = verbs.add_parser("spoil-vectors", help="copy a directory of vectors, wrong cases in it; print how many")
    verb.add_argument("directory")
    verb.add_argument("--output", required=True, help="a directory")
    verb.set_defaults(run=spoil_vectors)
    verb = verbs.add_parser("ways", help="list what spoil can do")
    verb.set_defaults(run=list_ways)
    arguments = parser.parse_args()
    return arguments.run(arguments)


sys.exit(main())
