"""B8: the post-quantum ratchet. A session has one of these, or None where the ratchet is switched off."""

from dataclasses import dataclass

from . import records as record
from .primitives import Refused, kem_check, kem_decapsulate, kem_encapsulate, kem_key_pair, label, le4, sha256

MESSAGES = 16
INTERVAL_S = 86_400


def mixed_secret(session_salt, epoch, ek, ct, shared):
    """pq."""
    return sha256(label("pq") + session_salt + le4(epoch) + sha256(ek) + sha256(ct) + shared)


@dataclass(frozen=True)
class Asked:
    ek: bytes
    dk: bytes


@dataclass(frozen=True)
class Ready:
    mixed: bytes


@dataclass(frozen=True)
class Told:
    """The key came. It is encapsulated to with the next message, which is the first that could carry the answer: all
    randomness is drawn when something is sealed."""

    ek: bytes


@dataclass(frozen=True)
class Pending:
    mixed: bytes
    ct: bytes


class PostQuantum:
    def __init__(self, initiator, now_s):
        self.initiator = initiator
        self.epoch = 0  # the last one mixed
        self.state = None  # Idle, or Wait for the replier
        self.messages = 0  # sealed and opened since the last epoch
        self.since_s = now_s

    @property
    def next_epoch(self):
        return self.epoch + 1

    @property
    def requests(self):
        """Whether this side is the requester of the next epoch."""
        return (self.next_epoch % 2 == 1) == self.initiator

    def _mixed(self, now_s):
        epoch, mixed = self.next_epoch, self.state.mixed
        self.epoch, self.state, self.messages, self.since_s = epoch, None, 0, now_s
        return epoch, mixed

    def sending_step(self, now_s):
        """(e, pq) for a sending step."""
        return self._mixed(now_s) if isinstance(self.state, Ready) else (0, None)

    def receiving_step(self, epoch, now_s):
        """pq, or None, for a receiving step whose header has e."""
        if epoch == 0:
            return None
        if not isinstance(self.state, Pending) or epoch != self.next_epoch:
            raise Refused("epoch")
        return self._mixed(now_s)[1]

    def ride_along(self, session, room, random, now_s):
        """The bytes of the record that goes with an ordinary message about to be sealed, if there is room for it."""
        due = self.messages >= MESSAGES or now_s - self.since_s >= INTERVAL_S
        epoch = self.next_epoch
        if self.state is None and self.requests and due:
            self.state = Asked(*kem_key_pair(random.key_pair()))
        elif isinstance(self.state, Told):
            ek = self.state.ek
            ct, shared = kem_encapsulate(ek, random.encapsulation())
            self.state = Pending(mixed_secret(session.session_salt, epoch, ek, ct, shared), ct)
        if isinstance(self.state, Asked):
            out = record.Record(record.PQ_EK, le4(epoch) + self.state.ek).bytes
        elif isinstance(self.state, Pending):
            out = record.Record(record.PQ_CT, le4(epoch) + self.state.ct).bytes
        else:
            return b""
        return out if len(out) <= room else b""

    def sealed(self):
        """A message of any kind was sealed."""
        self.messages += 1

    def received(self, session, records):
        """Acts on the records of a message that has opened. What is for another epoch or repeated changes nothing, nor
        does a key that fails its check."""
        self.messages += 1
        for r in records:
            epoch, data = int.from_bytes(r.data[:4], "little"), r.data[4:]
            if epoch != self.next_epoch:
                continue
            if r.kind == record.PQ_CT and isinstance(self.state, Asked):
                shared = kem_decapsulate(self.state.dk, data)
                self.state = Ready(mixed_secret(session.session_salt, epoch, self.state.ek, data, shared))
            elif r.kind == record.PQ_EK and self.state is None and not self.requests and _is_valid(data):
                self.state = Told(data)


def _is_valid(ek):
    try:
        kem_check(ek)
    except Refused:
        return False
    return True
