"""The parts of an envelope that the encryption binds or fills (B0; layout in crates/wire/SPEC.md, section 3)."""

from dataclasses import dataclass, replace

from .primitives import Refused, x25519_public

BODY_BYTES = {0: 1962, 1: 16298}
PREFIX_BYTES = 10


@dataclass(frozen=True)
class Envelope:
    """Everything but stamp and effort, which the encryption neither sees nor binds."""

    prefix: bytes  # version 1, class 1, topic 4, epoch_hour 4
    tag: bytes
    ephemeral: bytes  # E, raw
    body: bytes

    @property
    def ad0(self):
        return self.prefix + self.tag + self.ephemeral

    @property
    def epoch_hour(self):
        return int.from_bytes(self.prefix[6:10], "little")

    @property
    def small(self):
        return self.prefix[1] == 0 and len(self.body) == BODY_BYTES[0]

    def flipped(self, offset, mask):
        """A copy with one byte of prefix || tag || E || body changed."""
        data = bytearray(self.ad0 + self.body)
        data[offset] ^= mask
        return Envelope(bytes(data[:10]), bytes(data[10:26]), bytes(data[26:58]), bytes(data[58:]))

    def with_body(self, body):
        return replace(self, body=body)

    def to_json(self):
        return {k: getattr(self, k).hex() for k in ("prefix", "tag", "ephemeral", "body")}

    @staticmethod
    def from_json(value):
        return Envelope(*(bytes.fromhex(value[k]) for k in ("prefix", "tag", "ephemeral", "body")))


def check_body(envelope):
    """The body has the length of the envelope's class."""
    if BODY_BYTES.get(envelope.prefix[1]) != len(envelope.body):
        raise Refused("body_length")


@dataclass(frozen=True)
class Ephemeral:
    """e, the secret of E, and the random bit 255."""

    secret: bytes
    top_bit: int

    @property
    def public(self):
        point = x25519_public(self.secret)
        return point[:31] + bytes([point[31] | self.top_bit << 7])

    @staticmethod
    def from_json(value):
        return Ephemeral(bytes.fromhex(value["secret"]), value["top_bit"])

    def to_json(self):
        return {"secret": self.secret.hex(), "top_bit": self.top_bit}
