"""Keys: accounts, devices, device lists and certificates."""

from dataclasses import dataclass

from .primitives import Refused, ed25519_public, ed25519_sign, ed25519_verify, label, le4, sha256, x25519_public

DEVICES_MAX = 8


@dataclass(frozen=True)
class Device:
    """The public side: what a peer is known by."""

    account: bytes  # A
    signing: bytes  # S
    agreement: bytes  # D

    @property
    def bytes(self):
        return self.account + self.signing + self.agreement


@dataclass(frozen=True)
class DeviceList:
    version: int
    previous_head: bytes
    devices: tuple  # of (S, D)
    head: bytes


@dataclass(frozen=True)
class Listed:
    """What a bundle or a first contact says of its writer's device list."""

    version: int
    head: bytes

    def check_against(self, known):
        """known is what is pinned, or None. Called only after the certificate has been verified."""
        if known is None:
            return
        if self.version < known.version:
            raise Refused("older_device_list")
        if self.version == known.version and self.head != known.head:
            raise Refused("forked_device_list")


def sign_device_list(account_seed, version, previous_head, devices):
    """The bytes of a list."""
    body = le4(version) + previous_head + bytes([len(devices)]) + b"".join(s + d for s, d in devices)
    return body + ed25519_sign(account_seed, label("device list") + body)


def read_device_list(account, data):
    if len(data) < 4 + 32 + 1:
        raise Refused("list_length")
    version, previous_head, count = int.from_bytes(data[:4], "little"), data[4:36], data[36]
    if not 1 <= count <= DEVICES_MAX:
        raise Refused("device_count")
    if len(data) != 37 + 64 * count + 64:
        raise Refused("list_length")
    devices = tuple((data[at : at + 32], data[at + 32 : at + 64]) for at in range(37, 37 + 64 * count, 64))
    if len(set(devices)) != count:
        raise Refused("device_repeated")
    if version == 0:
        raise Refused("list_version")
    if (version == 1) != (previous_head == bytes(32)):
        raise Refused("previous_head")
    body = data[:-64]
    ed25519_verify(account, label("device list") + body, data[-64:])
    return DeviceList(version, previous_head, devices, list_head(account, body))


def list_head(account, body):
    return sha256(label("list head") + account + body)


def cert_message(device, listed):
    return label("device") + device.signing + device.agreement + le4(listed.version) + listed.head


def check_cert(device, listed, cert):
    if listed.version == 0:
        raise Refused("list_version")
    ed25519_verify(device.account, cert_message(device, listed), cert)


class Identity:
    """The secret side of a device that is alone on the first list of its account."""

    def __init__(self, account_seed, signing_seed, agreement_secret):
        self.account_seed = account_seed
        self.signing_seed = signing_seed
        self.agreement_secret = agreement_secret
        self.device = Device(
            ed25519_public(account_seed), ed25519_public(signing_seed), x25519_public(agreement_secret)
        )
        pair = (self.device.signing, self.device.agreement)
        self.list_bytes = sign_device_list(account_seed, 1, bytes(32), [pair])
        self.listed = Listed(1, list_head(self.device.account, self.list_bytes[:-64]))
        self.cert = ed25519_sign(account_seed, cert_message(self.device, self.listed))

    @staticmethod
    def from_json(value):
        return Identity(*(bytes.fromhex(value[k]) for k in ("account_seed", "signing_seed", "agreement_secret")))

    def to_json(self):
        return {
            "account_seed": self.account_seed.hex(),
            "signing_seed": self.signing_seed.hex(),
            "agreement_secret": self.agreement_secret.hex(),
        }
