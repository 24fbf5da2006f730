"""B18: what two people compare. Safety number, words, code."""

import base64
import binascii
import hashlib
import pathlib

from .primitives import Refused, label, sha256

NUMBER_ROUNDS = 5_200
WORDS_ROUNDS = 131_072
WORDS_FILE = pathlib.Path(__file__).parents[3] / "crates/e2ee/src/verification/words.txt"
WORDS_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
CODE_PREFIX = "STARLING-VERIFY:"
CODE_BYTES = 65
CODE_VERSION = 1
CODE_TEXT_MAX = 512


def word_list():
    data = WORDS_FILE.read_bytes()
    assert sha256(data).hex() == WORDS_SHA256, "not the list that SPEC.md names"
    return data.decode("ascii").split("\n")[:-1]


def iterate(text, data, rounds):
    """Every h of the chain that somebody may ask for: the first, the second, the last."""
    first = now = hashlib.sha512(label(text) + data).digest()
    second = None
    for _ in range(rounds - 1):
        now = hashlib.sha512(now + data).digest()
        second = second or now
    return first, second, now


def groups(account_hash):
    five = (account_hash[5 * i : 5 * i + 5] for i in range(6))
    return [f"{int.from_bytes(b, 'little') % 100_000:05}" for b in five]


def safety_number(own, theirs):
    """What is shown, and the values on the way to it."""
    low, high = sorted((own, theirs))
    low_first, low_second, low_hash = iterate("safety number", low, NUMBER_ROUNDS)
    _, _, high_hash = iterate("safety number", high, NUMBER_ROUNDS)
    _, _, word_hash = iterate("safety words", low + high, WORDS_ROUNDS)
    bits = int.from_bytes(word_hash[:11], "little")
    indexes = [(bits >> (11 * i)) % 2_048 for i in range(8)]
    words = word_list()
    return {
        "low": low,
        "high": high,
        "low_first_hash": low_first,
        "low_second_hash": low_second,
        "low_hash": low_hash,
        "high_hash": high_hash,
        "word_hash": word_hash,
        "word_indexes": indexes,
        "number": groups(low_hash) + groups(high_hash),
        "words": [words[index] for index in indexes],
    }


def encode(maker, about):
    data = bytes([CODE_VERSION]) + maker + about
    return CODE_PREFIX + base64.b32encode(data).decode("ascii").rstrip("=")


def decode(text):
    """(maker, about)."""
    text = "".join(c.upper() if c.isascii() else c for c in text.strip())
    if len(text.encode()) > CODE_TEXT_MAX or not text.startswith(CODE_PREFIX):
        raise Refused("not_a_code")
    digits = text[len(CODE_PREFIX) :]
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except (binascii.Error, ValueError):
        raise Refused("damaged") from None
    if base64.b32encode(data).decode("ascii").rstrip("=") != digits:
        raise Refused("damaged")
    if data and data[0] > CODE_VERSION:
        raise Refused("newer_version")
    if len(data) != CODE_BYTES or data[0] != CODE_VERSION:
        raise Refused("damaged")
    return data[1:33], data[33:]


def compare(maker, about, own, theirs, other_contacts):
    if maker == own:
        return "own"
    if maker == theirs:
        return "match" if about == own else "differs"
    return "other_contact" if maker in other_contacts else "differs"
