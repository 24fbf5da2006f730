"""B3: the handshake, both sides of it."""

from dataclasses import dataclass

from .primitives import ed25519_sign, ed25519_verify, hkdf, label, le4, sha256, x25519

NO_KEY = bytes(32)


@dataclass(frozen=True)
class Secrets:
    """What a handshake yields."""

    transcript_hash: bytes
    root: bytes  # RK0
    initiator_header_key: bytes  # HK_i
    responder_header_key: bytes  # HK_r
    session_salt: bytes  # sid


@dataclass(frozen=True)
class Parts:
    """What both sides know of it."""

    network: bytes  # NET
    generation: int
    initiator: object  # Device
    responder: object  # Device
    signed_prekey: bytes
    one_time: bytes | None  # public
    kem_key: bytes
    ephemeral: bytes  # EK
    kem_ciphertext: bytes


def transcript_hash(p):
    return sha256(
        label("handshake")
        + p.network
        + le4(p.generation)
        + p.initiator.bytes
        + p.responder.bytes
        + p.signed_prekey
        + (p.one_time or NO_KEY)
        + p.kem_key
        + p.ephemeral
        + p.kem_ciphertext
    )


def secrets(parts, agreements, kem_shared):
    """agreements are DH1 to DH4."""
    th = transcript_hash(parts)
    out = hkdf(th, b"\xff" * 32 + b"".join(agreements) + kem_shared, label("root"), 128)
    return Secrets(th, out[:32], out[32:64], out[64:96], out[96:])


def initiator_agreements(agreement_secret, ephemeral_secret, parts):
    return [
        x25519(agreement_secret, parts.signed_prekey),
        x25519(ephemeral_secret, parts.responder.agreement),
        x25519(ephemeral_secret, parts.signed_prekey),
        x25519(ephemeral_secret, parts.one_time) if parts.one_time else NO_KEY,
    ]


def responder_agreements(agreement_secret, signed_prekey_secret, one_time_secret, parts):
    return [
        x25519(signed_prekey_secret, parts.initiator.agreement),
        x25519(agreement_secret, parts.ephemeral),
        x25519(signed_prekey_secret, parts.ephemeral),
        x25519(one_time_secret, parts.ephemeral) if one_time_secret else NO_KEY,
    ]


def sign(signing_seed, th):
    """sig_i."""
    return ed25519_sign(signing_seed, label("init") + th)


def check_signature(signing, th, signature):
    ed25519_verify(signing, label("init") + th, signature)
