"""B0: the primitives, each as the specification names it."""

import hashlib
import hmac as _hmac

import blake3 as _blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768


class Refused(Exception):
    """A failure to open, or a step that the specification forbids. Nothing has changed.

    The reason is for the vectors and for people; the protocol has one error for all of them.
    """


def le4(number):
    return number.to_bytes(4, "little")


def le8(number):
    return number.to_bytes(8, "little")


def label(text):
    """L("x")."""
    return b"starling/1 " + text.encode("ascii") + b"\0"


def sha256(data):
    """H."""
    return hashlib.sha256(data).digest()


def hmac(key, data):
    return _hmac.new(key, data, hashlib.sha256).digest()


def hkdf(salt, ikm, info, length):
    """RFC 5869, by hand: extract with the salt, expand with the info."""
    pseudorandom = hmac(salt, ikm)
    block, out, counter = b"", b"", 1
    while len(out) < length:
        block = hmac(pseudorandom, block + info + bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def b3(key, message, length):
    """B3(k, m, n)."""
    return _blake3.blake3(message, key=key).digest(length=length)


def blake3_256(data):
    return _blake3.blake3(data).digest()


def aead_seal(key, nonce, plaintext, associated):
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)


def aead_open(key, nonce, ciphertext, associated):
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        raise Refused("not_authentic") from None


# X25519


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret, public):
    """X(a, B). Bit 255 of B is ignored, as RFC 7748 says."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # OpenSSL refuses an all-zero result
        raise Refused("not_contributory") from None


def clear_top_bit(point):
    """clr(E)."""
    return point[:31] + bytes([point[31] & 0x7F])


# Ed25519, verified strictly

_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P
_L = 2**252 + 27742317777372353535851937790883648493


def _decompress(encoded):
    """The affine point, or None if there is none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, (y & (2**255 - 1)) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P:
        return None
    return (_P - x if x & 1 != sign else x), y


def _double(point):
    x, y = point
    product = _D * x * x * y * y % _P
    return (
        2 * x * y * pow(1 + product, _P - 2, _P) % _P,
        (y * y + x * x) * pow(1 - product, _P - 2, _P) % _P,
    )


def _of_small_order(encoded):
    point = _decompress(encoded)
    if point is None:
        return True
    for _ in range(3):
        point = _double(point)
    return point == (0, 1)


def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def ed25519_sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_challenge(commitment, public, message):
    """k, as the 32 bytes of a scalar."""
    k = hashlib.sha512(commitment + public + message).digest()
    return (int.from_bytes(k, "little") % _L).to_bytes(32, "little")


def ed25519_verify(public, message, signature):
    """Strict: neither key nor R of small order, S below the group order, no cofactor (OpenSSL has none)."""
    in_range = int.from_bytes(signature[32:], "little") < _L
    if len(signature) != 64 or not in_range or _of_small_order(public) or _of_small_order(signature[:32]):
        raise Refused("signature")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("signature") from None


# ML-KEM-768. The seed of a key pair is d 32 || z 32 (FIPS 203, algorithm 16), the randomness of an encapsulation m 32.


def kem_key_pair(seed):
    """(ek 1,184, dk)."""
    return ML_KEM_768.key_derive(seed)


def kem_check(ek):
    """The modulus check of FIPS 203, 7.2: every coefficient of 12 bits is below 3,329."""
    if len(ek) != 1184:
        raise Refused("kem_key_length")
    bits = int.from_bytes(ek[:1152], "little")
    if any((bits >> 12 * i) & 0xFFF >= 3329 for i in range(768)):
        raise Refused("kem_key_modulus")


def kem_encapsulate(ek, randomness):
    """(ct 1,088, ss 32)."""
    kem_check(ek)
    shared, ciphertext = ML_KEM_768._encaps_internal(ek, randomness)
    return ciphertext, shared


def kem_decapsulate(dk, ciphertext):
    return ML_KEM_768.decaps(dk, ciphertext)
