"""B4: key derivation and sealing of one message; a session's state (B10) and its part of receiving (B11, 2 to 6)."""

from copy import copy
from dataclasses import dataclass

from . import post_quantum as pq_ratchet
from . import records as record
from .envelope import BODY_BYTES, Envelope, check_body
from .primitives import Refused, aead_open, aead_seal, b3, hkdf, hmac, label, le4, x25519, x25519_public

NO_KEY = bytes(32)
HEADER_BYTES = 56
WINDOW = 256
SKIPPED_MAX = 1024
SKIPPED_S = 15 * 86_400


def step(root, shared, epoch=0, post_quantum=None):
    """(RK', CK, NHK)."""
    out = hkdf(root, shared + (post_quantum or NO_KEY), label("step") + le4(epoch), 96)
    return out[:32], out[32:64], out[64:]


def message_key(chain_key):
    return hmac(chain_key, b"\x01")


def next_chain_key(chain_key):
    return hmac(chain_key, b"\x02")


def tag_of(header_key, number):
    return b3(header_key, label("tag") + le4(number), 16)


def header_cipher(header_key, number):
    """(key, nonce)."""
    material = b3(header_key, label("hdr") + le4(number), 44)
    return material[:32], material[32:]


def body_cipher(session_salt, mk):
    """(key, nonce)."""
    material = hkdf(session_salt, mk, label("msg"), 44)
    return material[:32], material[32:]


@dataclass(frozen=True)
class Header:
    dh: bytes
    previous_length: int  # pn
    epoch: int  # e

    @property
    def bytes(self):
        return self.dh + le4(self.previous_length) + le4(self.epoch)

    @staticmethod
    def read(data):
        number = lambda at: int.from_bytes(data[at : at + 4], "little")
        return Header(data[:32], number(32), number(36))


def seal_parts(header_key, number, session_salt, mk, header, plaintext, associated):
    """(header ciphertext, body ciphertext). associated is AD0, or AD0 || hs in a first contact."""
    sealed_header = aead_seal(*header_cipher(header_key, number), header.bytes, associated)
    return sealed_header, aead_seal(*body_cipher(session_salt, mk), plaintext, associated + sealed_header)


def open_header(header_key, number, sealed_header, associated):
    return Header.read(aead_open(*header_cipher(header_key, number), sealed_header, associated))


def open_body(session_salt, mk, sealed_header, sealed_body, associated):
    return aead_open(*body_cipher(session_salt, mk), sealed_body, associated + sealed_header)


def pad(data, length):
    if len(data) > length:
        raise Refused("no_room")
    return data + bytes(length - len(data))


@dataclass(frozen=True)
class Skipped:
    tag: bytes
    mk: bytes
    stored_s: float


_TAGS = {}


def tags(header_key, first, count):
    """Tags of a header key, remembered, since both windows are derived again and again."""
    known = _TAGS.setdefault(header_key, [])
    while len(known) < first + count:
        known.append(tag_of(header_key, len(known)))
    return known[first : first + count]


class Session:
    def __init__(self, secrets, generation, name, peer, initiator, post_quantum, now_s):
        self.session_salt = secrets.session_salt  # sid
        self.generation = generation
        self.name = name  # EK
        self.peer = peer
        self.initiator = initiator
        self.root = secrets.root
        self.own_dh = None
        self.peer_dh = None
        # sending: HKs, NHKs, CKs, Ns, (dh, PN, e), acked
        self.header_key_s = None
        self.next_header_key_s = secrets.initiator_header_key if initiator else secrets.responder_header_key
        self.chain_key_s = None
        self.number_s = 0
        self.header = None
        self.acked = -1
        self.chains_s = 0
        # receiving: HKr, NHKr, CKr, Nr
        self.header_key_r = None
        self.next_header_key_r = secrets.responder_header_key if initiator else secrets.initiator_header_key
        self.chain_key_r = None
        self.number_r = 0
        self.chains_r = 0
        self.skipped = {}  # (chain, number) -> Skipped, the oldest first
        self.hello = None  # hs and INB, the initiator's, until the first reply
        self.last_received_s = now_s
        self.post_quantum = pq_ratchet.PostQuantum(initiator, now_s) if post_quantum else None

    @staticmethod
    def of_initiator(secrets, generation, name, peer, signed_prekey, post_quantum, now_s):
        session = Session(secrets, generation, name, peer, True, post_quantum, now_s)
        session.peer_dh = signed_prekey
        return session

    @staticmethod
    def of_responder(secrets, generation, name, peer, signed_prekey_secret, post_quantum, now_s):
        session = Session(secrets, generation, name, peer, False, post_quantum, now_s)
        session.own_dh = signed_prekey_secret
        return session

    def clone(self):
        other = copy(self)
        other.skipped = dict(self.skipped)
        other.post_quantum = copy(self.post_quantum)
        return other

    # Sending

    @property
    def full(self):
        """The chain goes no further before an acknowledgement. A step that is due begins a new one."""
        return self.header is not None and not self.needs_step and self.number_s > self.acked + WINDOW - 1

    @property
    def needs_step(self):
        """At the first send; and after each receiving step, which erases own_dh."""
        return self.own_dh is None

    def _sending_step(self, ratchet_secret, now_s):
        epoch, mixed = self.post_quantum.sending_step(now_s) if self.post_quantum else (0, None)
        self.own_dh = ratchet_secret
        shared = x25519(self.own_dh, self.peer_dh)
        self.root, self.chain_key_s, next_header_key = step(self.root, shared, epoch, mixed)
        self.header_key_s, self.next_header_key_s = self.next_header_key_s, next_header_key
        self.header = Header(x25519_public(self.own_dh), self.number_s, epoch)
        self.number_s = 0
        self.acked = -1
        self.chains_s += 1

    def _next(self, ratchet_secret, data, room, random, now_s, first=False):
        """Advances; (chain, number, tag, mk, padded plaintext)."""
        if self.full:
            raise Refused("chain_full")
        if self.needs_step:
            self._sending_step(ratchet_secret, now_s)
        if self.post_quantum and not first:  # a first contact has no room for either record
            data += self.post_quantum.ride_along(self, room - len(data), random, now_s)
        plaintext = pad(data, room)
        number, mk = self.number_s, message_key(self.chain_key_s)
        self.chain_key_s = next_chain_key(self.chain_key_s)
        self.number_s += 1
        if self.post_quantum:
            self.post_quantum.sealed()
        return self.chains_s - 1, number, plaintext, mk

    def seal(self, data, prefix, ephemeral, ratchet_secret, now_s, random=None):
        """An ordinary message of the records in data: (advanced session, chain, number, envelope)."""
        after = self.clone()
        room = BODY_BYTES[prefix[1]] - HEADER_BYTES - 16
        chain, number, plaintext, mk = after._next(ratchet_secret, data, room, random, now_s)
        envelope = Envelope(prefix, tag_of(after.header_key_s, number), ephemeral.public, b"")
        parts = seal_parts(after.header_key_s, number, after.session_salt, mk, after.header, plaintext, envelope.ad0)
        return after, chain, number, envelope.with_body(b"".join(parts))

    def acknowledge(self, chain, number):
        """The message first sealed at (chain, number) has arrived."""
        if chain == self.chains_s - 1:
            self.acked = max(self.acked, number)

    # Receiving

    def watched(self):
        """(tag, chain, number) of all that may come."""
        out = [(s.tag, *position) for position, s in self.skipped.items()]
        if self.header_key_r is not None:
            window = tags(self.header_key_r, self.number_r, WINDOW)
            out += [(tag, self.chains_r - 1, self.number_r + i) for i, tag in enumerate(window)]
        return out + [(tag, self.chains_r, i) for i, tag in enumerate(tags(self.next_header_key_r, 0, WINDOW))]

    def expire(self, now_s):
        self.skipped = {p: s for p, s in self.skipped.items() if s.stored_s + SKIPPED_S > now_s}

    def open(self, envelope, chain, number, now_s):
        check_body(envelope)
        header, body = envelope.body[:HEADER_BYTES], envelope.body[HEADER_BYTES:]
        return self.open_parts(header, body, envelope.ad0, chain, number, now_s)

    def open_parts(self, header, body, associated, chain, number, now_s):
        """B11, 2 to 6: (advanced session, plaintext, records)."""
        after = self.clone()
        if (chain, number) in after.skipped:
            mk = after.skipped.pop((chain, number)).mk
        else:
            if chain == after.chains_r - 1:
                after._in_current_chain(header, associated, number)
            elif chain == after.chains_r:
                after._in_next_chain(header, associated, number, now_s)
            else:
                raise Refused("position_gone")
            mk = after._derive_to(number, now_s)
        plaintext = open_body(after.session_salt, mk, header, body, associated)
        found = record.read(plaintext, after.post_quantum is not None)
        if after.post_quantum:
            after.post_quantum.received(after, found)
        after.hello = None
        after.last_received_s = now_s
        return after, plaintext, found

    def _in_current_chain(self, sealed_header, associated, number):
        if not self.number_r <= number < self.number_r + WINDOW:
            raise Refused("position_gone")
        header = open_header(self.header_key_r, number, sealed_header, associated)
        if header.dh != self.peer_dh:
            raise Refused("header_of_another_chain")

    def _in_next_chain(self, sealed_header, associated, number, now_s):
        if number >= WINDOW:
            raise Refused("number_beyond_window")
        header = open_header(self.next_header_key_r, number, sealed_header, associated)
        mixed = None
        if self.post_quantum:
            mixed = self.post_quantum.receiving_step(header.epoch, now_s)
        elif header.epoch != 0:
            raise Refused("epoch")
        last = self.number_r + WINDOW if self.header_key_r is not None else 0
        if not self.number_r <= header.previous_length <= last:
            raise Refused("previous_length")
        self._skip_to(header.previous_length, now_s)
        if self.own_dh is None:
            raise Refused("no_own_dh")
        shared = x25519(self.own_dh, header.dh)
        self.root, self.chain_key_r, next_header_key = step(self.root, shared, header.epoch, mixed)
        self.header_key_r, self.next_header_key_r = self.next_header_key_r, next_header_key
        self.peer_dh = header.dh
        self.number_r = 0
        self.chains_r += 1
        self.own_dh = None

    def _derive_to(self, number, now_s):
        self._skip_to(number, now_s)
        mk = message_key(self.chain_key_r)
        self.chain_key_r = next_chain_key(self.chain_key_r)
        self.number_r = number + 1
        return mk

    def _skip_to(self, number, now_s):
        while self.number_r < number:
            mk = message_key(self.chain_key_r)
            tag = tag_of(self.header_key_r, self.number_r)
            self.skipped[self.chains_r - 1, self.number_r] = Skipped(tag, mk, now_s)
            self.chain_key_r = next_chain_key(self.chain_key_r)
            self.number_r += 1
        while len(self.skipped) > SKIPPED_MAX:
            del self.skipped[next(iter(self.skipped))]
