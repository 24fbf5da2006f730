"""B6: a device's public prekeys, in an envelope that only those who know its addr can find."""

from dataclasses import dataclass

from .envelope import BODY_BYTES, Envelope, check_body
from .identity import Device, Listed, check_cert
from .primitives import (
    Refused,
    aead_open,
    aead_seal,
    b3,
    ed25519_sign,
    ed25519_verify,
    kem_check,
    kem_key_pair,
    label,
    le4,
    x25519_public,
)

BUNDLE_BYTES = 1520
PLAINTEXT_BYTES = BODY_BYTES[0] - 16
LIFETIME_HOURS = 336
AHEAD_HOURS = 2


@dataclass(frozen=True)
class Prekeys:
    """The private halves of one bundle."""

    seq: int
    created_hour: int
    shard: int
    signed_prekey_secret: bytes
    inbox_secret: bytes
    kem_seed: bytes

    @staticmethod
    def from_json(value, seq=1):
        secrets = (bytes.fromhex(value[k]) for k in ("signed_prekey_secret", "inbox_secret", "kem_seed"))
        return Prekeys(value.get("seq", seq), value["created_hour"], value["shard"], *secrets)

    def to_json(self):
        return {
            "seq": self.seq,
            "created_hour": self.created_hour,
            "shard": self.shard,
            "signed_prekey_secret": self.signed_prekey_secret.hex(),
            "inbox_secret": self.inbox_secret.hex(),
            "kem_seed": self.kem_seed.hex(),
        }


@dataclass(frozen=True)
class Bundle:
    device: Device
    listed: Listed
    cert: bytes
    shard: int
    seq: int
    created_hour: int
    signed_prekey: bytes
    inbox: bytes
    kem_key: bytes


def sign_bundle(identity, prekeys):
    """The 1,520 signed bytes."""
    body = (
        identity.device.bytes
        + le4(identity.listed.version)
        + identity.listed.head
        + identity.cert
        + le4(prekeys.shard)
        + le4(prekeys.seq)
        + le4(prekeys.created_hour)
        + x25519_public(prekeys.signed_prekey_secret)
        + x25519_public(prekeys.inbox_secret)
        + kem_key_pair(prekeys.kem_seed)[0]
    )
    return body + ed25519_sign(identity.signing_seed, label("bundle") + body)


def bundle_tag(addr, week):
    return b3(addr, label("bundle tag") + le4(week), 16)


def bundle_key(addr, ephemeral):
    material = b3(addr, label("bundle key") + ephemeral, 44)
    return material[:32], material[32:]


def seal_bundle(signed, addr, prefix, ephemeral):
    head = Envelope(prefix, b"", ephemeral.public, b"")
    envelope = Envelope(prefix, bundle_tag(addr, head.epoch_hour // 168), ephemeral.public, b"")
    key, nonce = bundle_key(addr, envelope.ephemeral)
    padded = signed + bytes(PLAINTEXT_BYTES - len(signed))
    return envelope.with_body(aead_seal(key, nonce, padded, envelope.ad0))


def open_bundle(envelope, addr, account, pinned, now_hour):
    """pinned is None or (Listed, seq); account is None if any will do."""
    if not envelope.small:
        raise Refused("body_length")
    check_body(envelope)
    data = aead_open(*bundle_key(addr, envelope.ephemeral), envelope.body, envelope.ad0)[:BUNDLE_BYTES]
    bundle = read_bundle(data)
    if account is not None and account != bundle.device.account:
        raise Refused("other_account")
    if bundle.created_hour + LIFETIME_HOURS <= now_hour:
        raise Refused("too_old")
    if bundle.created_hour > now_hour + AHEAD_HOURS:
        raise Refused("from_the_future")
    if pinned is not None:
        listed, seq = pinned
        if bundle.listed.version < listed.version:
            raise Refused("older_than_pinned")
        bundle.listed.check_against(listed)
        if bundle.listed == listed and bundle.seq < seq:
            raise Refused("older_than_pinned")
    return bundle


def read_bundle(data):
    """Checks what the bundle says of itself: certificate, signature, KEM key."""
    number = lambda at: int.from_bytes(data[at : at + 4], "little")
    bundle = Bundle(
        device=Device(data[0:32], data[32:64], data[64:96]),
        listed=Listed(number(96), data[100:132]),
        cert=data[132:196],
        shard=number(196),
        seq=number(200),
        created_hour=number(204),
        signed_prekey=data[208:240],
        inbox=data[240:272],
        kem_key=data[272:1456],
    )
    check_cert(bundle.device, bundle.listed, bundle.cert)
    ed25519_verify(bundle.device.signing, label("bundle") + data[:1456], data[1456:])
    kem_check(bundle.kem_key)
    return bundle
