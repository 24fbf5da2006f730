"""B5: the first message of a session, with its handshake."""

from dataclasses import dataclass, replace

from .envelope import Envelope
from .identity import Device, Listed
from .primitives import (
    Refused,
    aead_open,
    aead_seal,
    clear_top_bit,
    hkdf,
    label,
    le4,
    le8,
    sha256,
    x25519,
    x25519_public,
)
from .ratchet import HEADER_BYTES, seal_parts

HS_BYTES = 1401
MESSAGE_BYTES = 473
VERSION = 1


@dataclass(frozen=True)
class Outer:
    tag: bytes  # vt
    key: bytes
    nonce: bytes


def outer(ephemeral, inbox, shared):
    """From X(e, INB), whichever side computed it."""
    out = hkdf(clear_top_bit(ephemeral) + inbox, shared, label("first"), 60)
    return Outer(out[:16], out[16:48], out[48:])


@dataclass(frozen=True)
class Hello:
    """hs."""

    generation: int
    bundle_seq: int
    one_time_id: int
    number: int
    ephemeral: bytes  # EK
    device: Device
    listed: Listed
    cert: bytes
    kem_ciphertext: bytes
    signature: bytes

    @property
    def bytes(self):
        return (
            bytes([VERSION])
            + le4(self.generation)
            + le4(self.bundle_seq)
            + le8(self.one_time_id)
            + le4(self.number)
            + self.ephemeral
            + self.device.bytes
            + le4(self.listed.version)
            + self.listed.head
            + self.cert
            + self.kem_ciphertext
            + self.signature
        )

    @property
    def digest(self):
        """What the responder remembers."""
        return sha256(self.ephemeral + self.kem_ciphertext)

    @staticmethod
    def read(data):
        number = lambda at, size=4: int.from_bytes(data[at : at + size], "little")
        if data[0] != VERSION:
            raise Refused("version")
        return Hello(
            generation=number(1),
            bundle_seq=number(5),
            one_time_id=number(9, 8),
            number=number(17),
            ephemeral=data[21:53],
            device=Device(data[53:85], data[85:117], data[117:149]),
            listed=Listed(number(149), data[153:185]),
            cert=data[185:249],
            kem_ciphertext=data[249:1337],
            signature=data[1337:1401],
        )


def seal(session, hello, inbox, data, prefix, ephemeral, ratchet_secret, now_s, random=None):
    """(advanced session, number, envelope). The session is the initiator's, hs as in its first message."""
    after = session.clone()
    chain, number, plaintext, mk = after._next(ratchet_secret, data, MESSAGE_BYTES, random, now_s, first=True)
    if chain != 0:
        raise Refused("not_the_first_chain")
    hs = replace(hello, number=number).bytes
    layer = outer(ephemeral.public, inbox, x25519(ephemeral.secret, inbox))
    envelope = Envelope(prefix, layer.tag, ephemeral.public, b"")
    parts = seal_parts(after.header_key_s, number, after.session_salt, mk, after.header, plaintext, envelope.ad0 + hs)
    body = aead_seal(layer.key, layer.nonce, hs + b"".join(parts), envelope.ad0)
    return after, number, envelope.with_body(body)


@dataclass(frozen=True)
class Opened:
    hello: Hello
    hs: bytes
    header: bytes
    body: bytes


def open_outer(envelope, inbox_secret):
    """The first contact in it, or None if it is not for this inbox key."""
    if not envelope.small:
        return None
    try:
        shared = x25519(inbox_secret, clear_top_bit(envelope.ephemeral))
    except Refused:
        return None
    layer = outer(envelope.ephemeral, x25519_public(inbox_secret), shared)
    if layer.tag != envelope.tag:
        return None
    data = aead_open(layer.key, layer.nonce, envelope.body, envelope.ad0)
    hs, header, body = data[:HS_BYTES], data[HS_BYTES : HS_BYTES + HEADER_BYTES], data[HS_BYTES + HEADER_BYTES :]
    return Opened(Hello.read(hs), hs, header, body)
