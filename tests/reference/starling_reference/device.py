"""A whole device: its prekeys, its sessions, and the receive algorithm B11."""

from dataclasses import dataclass

from . import first_contact, handshake
from .primitives import Refused, kem_decapsulate, kem_encapsulate, kem_key_pair, x25519_public
from .identity import check_cert
from .ratchet import Session

HOUR_S = 3600
PREKEY_S = 29 * 86_400
SESSION_S = 29 * 86_400
GENERATION_JUMP_MAX = 16


def rank(session):
    """B7: what max() picks is the best."""
    name = int.from_bytes(session.name, "big")
    return session.generation, -name


@dataclass(frozen=True)
class Opened:
    session: bytes  # its name
    chain: int
    number: int
    plaintext: bytes
    records: list
    one_time_spent: int  # 0: none


class Party:
    def __init__(self, identity, network, one_time, post_quantum=False):
        self.identity = identity
        self.network = network
        self.one_time = dict(one_time)  # id -> secret
        self.post_quantum = post_quantum
        self.prekeys = {}  # seq -> Prekeys
        self.sessions = {}  # EK -> Session
        self.remembered = {}  # H(EK || ct) -> (EK, bundle_seq)
        self.lists = {}  # account -> Listed, the known one
        self.generations = {}  # account -> the highest known

    def expire(self, now_s):
        """Erases what has outlived its time."""
        self.prekeys = {s: p for s, p in self.prekeys.items() if p.created_hour * HOUR_S + PREKEY_S > now_s}
        self.remembered = {d: (n, s) for d, (n, s) in self.remembered.items() if s in self.prekeys}
        for session in self.sessions.values():
            session.expire(now_s)
        best = {}
        for session in self.sessions.values():
            if session.peer not in best or rank(session) > rank(best[session.peer]):
                best[session.peer] = session
        self.sessions = {
            name: s for name, s in self.sessions.items() if best[s.peer] is s or s.last_received_s + SESSION_S > now_s
        }

    def best(self, peer):
        """B7: the session to send on."""
        return max((s for s in self.sessions.values() if s.peer == peer), key=rank, default=None)

    def inboxes(self):
        """Live INB secrets: those that a live bundle names."""
        return list(dict.fromkeys(p.inbox_secret for p in self.prekeys.values()))

    # Sending

    def begin(self, bundle, generation, one_time, ephemeral_secret, kem_randomness, now_s):
        """B3 as the initiator. one_time is (id, public) or None. Puts the new session in place; returns its name."""
        me = self.identity
        ct, shared = kem_encapsulate(bundle.kem_key, kem_randomness)
        one_time_id, one_time_key = one_time or (0, None)
        parts = handshake.Parts(
            network=self.network,
            generation=generation,
            initiator=me.device,
            responder=bundle.device,
            signed_prekey=bundle.signed_prekey,
            one_time=one_time_key,
            kem_key=bundle.kem_key,
            ephemeral=x25519_public(ephemeral_secret),
            kem_ciphertext=ct,
        )
        agreements = handshake.initiator_agreements(me.agreement_secret, ephemeral_secret, parts)
        secrets = handshake.secrets(parts, agreements, shared)
        session = Session.of_initiator(
            secrets, generation, parts.ephemeral, bundle.device, bundle.signed_prekey, self.post_quantum, now_s
        )
        hello = first_contact.Hello(
            generation=generation,
            bundle_seq=bundle.seq,
            one_time_id=one_time_id,
            number=0,
            ephemeral=parts.ephemeral,
            device=me.device,
            listed=me.listed,
            cert=me.cert,
            kem_ciphertext=ct,
            signature=handshake.sign(me.signing_seed, secrets.transcript_hash),
        )
        session.hello = (hello, bundle.inbox)
        self._put(session, bundle.listed)
        return session.name

    def seal_first(self, name, data, prefix, ephemeral, ratchet_secret, now_s, random=None):
        session = self.sessions[name]
        if session.hello is None:
            raise Refused("already_answered")
        after, number, envelope = first_contact.seal(
            session, *session.hello, data, prefix, ephemeral, ratchet_secret, now_s, random
        )
        self.sessions[name] = after
        return 0, number, envelope

    def seal(self, name, data, prefix, ephemeral, ratchet_secret, now_s, random=None):
        after, chain, number, envelope = self.sessions[name].seal(
            data, prefix, ephemeral, ratchet_secret, now_s, random
        )
        self.sessions[name] = after
        return chain, number, envelope

    def _put(self, session, listed):
        self.sessions[session.name] = session
        account = session.peer.account
        self.learn(account, listed)
        self.generations[account] = max(session.generation, self.generations.get(account, 0))

    def learn(self, account, listed):
        """A bundle or a first contact that was taken speaks for this list."""
        self.lists[account] = max(self.lists.get(account, listed), listed, key=lambda l: l.version)

    # Receiving

    def receive(self, envelope, now_s):
        """B11. Raises Refused, having changed nothing, if the envelope is not for us or does not open."""
        watched = [
            (session, chain, number)
            for session in self.sessions.values()
            for tag, chain, number in session.watched()
            if tag == envelope.tag
        ]
        for session, chain, number in watched:
            try:
                after, plaintext, records = session.open(envelope, chain, number, now_s)
            except Refused:
                continue
            self.sessions[session.name] = after
            return Opened(session.name, chain, number, plaintext, records, 0)
        if watched:
            raise Refused("not_authentic")
        for inbox_secret in self.inboxes():
            opened = first_contact.open_outer(envelope, inbox_secret)
            if opened is not None:
                return self._first_contact(envelope, opened, now_s)
        raise Refused("not_for_us")

    def _first_contact(self, envelope, opened, now_s):
        hello = opened.hello
        associated = envelope.ad0 + opened.hs
        known, _ = self.remembered.get(hello.digest, (None, None))
        if known is not None:
            if known not in self.sessions:
                raise Refused("session_gone")
            session, listed = self.sessions[known], None
        else:
            session, listed = self._respond(hello, now_s), hello.listed
        after, plaintext, records = session.open_parts(opened.header, opened.body, associated, 0, hello.number, now_s)
        spent = 0
        if known is None:
            spent = hello.one_time_id
            self.one_time.pop(spent, None)
            self.remembered[hello.digest] = (after.name, hello.bundle_seq)
            self._put(after, listed)
        self.sessions[after.name] = after
        return Opened(after.name, 0, hello.number, plaintext, records, spent)

    def _respond(self, hello, now_s):
        """B11, 8: the session that a first contact proposes, not yet in place."""
        me = self.identity
        if not 1 <= hello.generation <= self.generations.get(hello.device.account, 0) + GENERATION_JUMP_MAX:
            raise Refused("generation")
        if hello.ephemeral in self.sessions:
            raise Refused("session_name_taken")
        if hello.device == me.device:
            raise Refused("from_ourselves")
        check_cert(hello.device, hello.listed, hello.cert)
        hello.listed.check_against(self.lists.get(hello.device.account))
        prekeys = self.prekeys.get(hello.bundle_seq)
        if prekeys is None:
            raise Refused("bundle_gone")
        one_time_secret = None
        if hello.one_time_id:
            one_time_secret = self.one_time.get(hello.one_time_id)
            if one_time_secret is None:
                raise Refused("one_time_prekey_gone")
        kem_key, dk = kem_key_pair(prekeys.kem_seed)
        parts = handshake.Parts(
            network=self.network,
            generation=hello.generation,
            initiator=hello.device,
            responder=me.device,
            signed_prekey=x25519_public(prekeys.signed_prekey_secret),
            one_time=x25519_public(one_time_secret) if one_time_secret else None,
            kem_key=kem_key,
            ephemeral=hello.ephemeral,
            kem_ciphertext=hello.kem_ciphertext,
        )
        agreements = handshake.responder_agreements(
            me.agreement_secret, prekeys.signed_prekey_secret, one_time_secret, parts
        )
        secrets = handshake.secrets(parts, agreements, kem_decapsulate(dk, hello.kem_ciphertext))
        handshake.check_signature(hello.device.signing, secrets.transcript_hash, hello.signature)
        return Session.of_responder(
            secrets,
            hello.generation,
            hello.ephemeral,
            hello.device,
            prekeys.signed_prekey_secret,
            self.post_quantum,
            now_s,
        )
