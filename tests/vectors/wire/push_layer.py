#!/usr/bin/env python3
"""Writes push_layer.json: sealed layers of push cells (protocol B14).

Made with Python's `cryptography`, so that the file owes nothing to the code that it tests.
"""

import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ENVELOPE_BYTES = {0: 2048, 1: 16384}
CASES = []


def secret(name):
    return hashlib.sha256(name.encode()).digest()


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal(enc_secret, onion_public, class_, plaintext):
    """Layer and intermediate values."""
    enc = public(enc_secret)
    shared = X25519PrivateKey.from_private_bytes(enc_secret).exchange(X25519PublicKey.from_public_bytes(onion_public))
    info = b"starling/1 cell\0" + bytes([class_])
    material = HKDF(hashes.SHA256(), 44, salt=enc, info=info).derive(shared)
    key, nonce = material[:32], material[32:]
    layer = enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, None)
    return layer, {"enc": enc.hex(), "shared": shared.hex(), "info": info.hex(), "key": key.hex(), "nonce": nonce.hex()}


def add(comment, case):
    CASES.append({"id": f"push_layer-{len(CASES) + 1:03}", "comment": comment, **case})


def valid(comment, order, class_):
    onion, enc_secret = secret("onion"), secret(comment)
    pattern = bytes(range(256)) if order == 1 else bytes(256)
    times = ENVELOPE_BYTES[class_] // 256
    layer, steps = seal(enc_secret, public(onion), class_, bytes([order]) + pattern * times)
    add(comment, {
        "result": "valid",
        "input": {
            "class": class_,
            "onion_secret": onion.hex(),
            "enc_secret": enc_secret.hex(),
            "plaintext": [f"{order:02x}", {"repeat": pattern.hex(), "times": times}],
        },
        "steps": steps,
        "expect": {"onion_key": public(onion).hex(), "layer": layer.hex()},
    })
    return layer


def invalid(comment, reason, layer):
    add(comment, {
        "result": "invalid",
        "reason": reason,
        "input": {"class": 0, "onion_secret": secret("onion").hex(), "layer": layer.hex()},
        "steps": {},
        "expect": {},
    })


def main():
    small = valid("publish, small", 1, 0)
    valid("drop, small", 2, 0)
    valid("publish, large", 1, 1)
    drop = bytes([2]) + bytes(2048)
    onion = public(secret("onion"))

    def flip(at, bit):
        return small[:at] + bytes([small[at] ^ bit]) + small[at + 1 :]

    closed = "does_not_open"
    invalid("sealed to another node", closed, seal(secret("a"), public(secret("other")), 0, drop)[0])
    invalid("sealed for class 1", closed, seal(secret("b"), onion, 1, drop)[0])
    invalid("bit 255 of enc set: the same point, another salt", closed, flip(31, 0x80))
    invalid("a bit flipped in the ciphertext", closed, flip(1000, 1))
    invalid("a bit flipped in the tag", closed, flip(2096, 1))
    invalid("enc is 0, a point of low order", closed, bytes(32) + small[32:])
    invalid("enc is 1, a point of low order", closed, bytes([1]) + bytes(31) + small[32:])
    for order in (0, 3, 4, 255):
        layer, _ = seal(secret(f"order {order}"), onion, 0, bytes([order]) + bytes(2048))
        invalid(f"order {order}", "order", layer)
    vectors = {"v": 1, "spec": "0.1", "section": "8.2", "name": "push_layer", "cases": CASES}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(vectors, indent=2, sort_keys=True) + "\n")


main()
