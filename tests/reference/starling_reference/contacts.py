"""The second trace that is kept: several sessions with several people, and what decides between them.

Handshakes that cross, generations that jump, device lists that go on or fork, keys that are used up: what opens
and what does not, each with one thing beside it that says otherwise. Peers of whom only the envelopes are seen are
kept here, outside the trace.
"""

from copy import deepcopy
from dataclasses import replace

from . import first_contact, forge, handshake, records
from .device import GENERATION_JUMP_MAX, Party
from .envelope import BODY_BYTES, Envelope
from .identity import Identity, Listed, cert_message
from .primitives import aead_seal, ed25519_sign, kem_encapsulate, label, x25519, x25519_public
from .produce import DAY_S, Producer
from .ratchet import SKIPPED_MAX, WINDOW, Session, seal_parts

HOUR_S = 3600
ZEROS = bytes(32)


class Peer:
    """Somebody who writes to b. What he seals is in the trace as it arrives."""

    def __init__(self, producer, identity):
        self.producer, self.rng = producer, producer.rng
        self.party = Party(identity, bytes.fromhex(producer.document["network"]), [], True)
        self.device = identity.device

    # What the post-quantum ratchet draws

    def key_pair(self):
        return self.rng.randbytes(64)

    def encapsulation(self):
        return self.rng.randbytes(32)

    def _content(self):
        return records.write([records.content(self.rng.randbytes(16), b"from elsewhere")])

    def certified(self, listed):
        """A change of hs: the account's certificate over another state of its list."""
        seed = self.party.identity.account_seed
        return lambda hello: replace(
            hello, listed=listed, cert=ed25519_sign(seed, cert_message(hello.device, listed))
        )

    def begin(self, generation, hello=lambda h: h, ephemeral_secret=None, inbox=None):
        """The name of a new session with b, on the bundle that a has."""
        p = self.producer
        bundle = p.world.pinned["a", "b"]
        secrets = ephemeral_secret or self.rng.randbytes(32), self.rng.randbytes(32)
        name = self.party.begin(bundle, generation, None, *secrets, p.now_s)
        session = self.party.sessions[name]
        session.hello = hello(session.hello[0]), inbox or session.hello[1]
        return name

    def seal(self, name, first=False):
        p = self.producer
        prefix, ephemeral = bytes.fromhex(p._prefix()), p.ephemeral()
        seal = self.party.seal_first if first else self.party.seal
        return seal(name, self._content(), prefix, ephemeral, self.rng.randbytes(32), p.now_s, self)[2]

    def first(self, *what, **how):
        """The first contact of a new session."""
        return self.seal(self.begin(*what, **how), first=True)

    def large_first(self, generation):
        """A first contact in a large envelope: all as it should be, and zeros behind it."""
        p = self.producer
        name = self.begin(generation)
        session = self.party.sessions[name]
        hello, inbox = session.hello
        _, number, _, mk = session._next(self.rng.randbytes(32), b"", first_contact.MESSAGE_BYTES, self, p.now_s, True)
        prefix, ephemeral = bytes.fromhex(p._prefix(large=True)), p.ephemeral()
        layer = first_contact.outer(ephemeral.public, inbox, x25519(ephemeral.secret, inbox))
        envelope = Envelope(prefix, layer.tag, ephemeral.public, b"")
        hs, plaintext = replace(hello, number=number).bytes, self._content().ljust(first_contact.MESSAGE_BYTES, b"\0")
        parts = seal_parts(
            session.header_key_s, number, session.session_salt, mk, session.header, plaintext, envelope.ad0 + hs
        )
        inside = (hs + b"".join(parts)).ljust(BODY_BYTES[1] - 16, b"\0")
        return envelope.with_body(aead_seal(layer.key, layer.nonce, inside, envelope.ad0))

    def small_order_device(self, generation):
        """D of small order, certified: who does not refuse all-zero results agrees with it on every key."""
        p, me, session_of = self.producer, self.party.identity, Session.of_initiator
        bundle, device = p.world.pinned["a", "b"], replace(self.device, agreement=ZEROS)
        ephemeral_secret = self.rng.randbytes(32)
        ct, shared = kem_encapsulate(bundle.kem_key, self.rng.randbytes(32))
        parts = handshake.Parts(
            network=self.party.network,
            generation=generation,
            initiator=device,
            responder=bundle.device,
            signed_prekey=bundle.signed_prekey,
            one_time=None,
            kem_key=bundle.kem_key,
            ephemeral=x25519_public(ephemeral_secret),
            kem_ciphertext=ct,
        )
        agreements = [
            ZEROS,
            x25519(ephemeral_secret, bundle.device.agreement),
            x25519(ephemeral_secret, bundle.signed_prekey),
            ZEROS,
        ]
        secrets = handshake.secrets(parts, agreements, shared)
        hello = first_contact.Hello(
            generation=generation,
            bundle_seq=bundle.seq,
            one_time_id=0,
            number=0,
            ephemeral=parts.ephemeral,
            device=device,
            listed=me.listed,
            cert=ed25519_sign(me.account_seed, cert_message(device, me.listed)),
            kem_ciphertext=ct,
            signature=ed25519_sign(me.signing_seed, label("init") + secrets.transcript_hash),
        )
        name = parts.ephemeral
        session = session_of(secrets, generation, name, bundle.device, bundle.signed_prekey, True, p.now_s)
        session.hello = hello, bundle.inbox
        self.party.sessions[name] = session
        return self.seal(name, first=True)


class ContactsProducer(Producer):
    def __init__(self, seed):
        super().__init__(seed, True, ("a", "b", "c"))
        self.loss, self.delay_s, self.patience_s = 0, 60, 600
        self.document["comment"] = "several sessions"

    # Events

    def seal(self, by, session, first=False):
        """The event that sealed it."""
        session = self.world.parties[by].sessions[session]
        data = records.write([records.content(self.rng.randbytes(16), by.encode())])
        return self._do(
            "seal",
            by=by,
            now_s=self.now_s,
            session=session.name.hex(),
            first=first,
            prefix=self._prefix(),
            ephemeral=self._ephemeral(),
            ratchet_secret=self._hex(32) if session.needs_step else None,
            records=data.hex(),
        )[0]

    def arrives(self, to, what, opens, comment):
        """what: the event that sealed it, or an envelope of a peer's."""
        envelope = what if isinstance(what, int) else what.to_json()
        _, done = self._do("deliver", by=to, now_s=self.now_s, envelope=envelope, flip=None, comment=comment)
        if bool(done["opened"]) != opens:
            raise AssertionError(f"{comment}: it opens: {not opens}")
        return done["opened"]

    def choose(self, by, to, expected):
        _, done = self._do("choose", by=by, to=to)
        if done["session"] != expected.hex():
            raise AssertionError(f"{by} writes to {to} on another session")

    def handshake(self, by, generation, one_time=None):
        """A session of `by` with the other of a and b, and the event that sealed its first contact."""
        self.begin(by, one_time, generation)
        name = next(e for e in reversed(self.document["events"]) if e["op"] == "begin")["expect"]["session"]
        name = bytes.fromhex(name)
        return name, self.seal(by, name, first=True)

    def states(self):
        for by in "abc":
            self._do("state", by=by, now_s=self.now_s)

    # The trace

    def run_contacts(self):
        self.publish("a")
        self.publish("b")
        self.crossing()
        self.generations()
        self.names_of_sessions()
        self.device_lists()
        self.skipped_keys()
        self.keys_of_small_order_and_large_envelopes()
        self.inbox_keys()
        self.states()
        return self.document

    def crossing(self):
        one_time = self.document["parties"][1]["one_time"][0]["id"]
        of_a, first_of_a = self.handshake("a", 1, one_time)
        of_b, first_of_b = self.handshake("b", 1)
        again = self.seal("a", of_a, first=True)
        ordinary = self.seal("a", of_a), self.seal("b", of_b)
        self.arrives("b", ordinary[0], False, "an ordinary message before its session is known")
        self.arrives("b", first_of_a, True, "a's first contact, crossing b's")
        self.arrives("a", first_of_b, True, "b's first contact, crossing a's")
        self.arrives("b", again, True, "a further first contact of a known session")
        self.arrives("b", first_of_a, False, "the first contact again")
        better = min(of_a, of_b)
        self.choose("a", "b", better)
        self.choose("b", "a", better)
        self.arrives("b", ordinary[0], True, "what was sealed before the sessions met, on a's")
        self.arrives("a", ordinary[1], True, "what was sealed before the sessions met, on b's")
        for by, to in ("ab", "ba", "ab"):
            self.arrives(to, self.seal(by, better), True, "on the better session")
        _, spent = self.handshake("a", 1, one_time)
        self.arrives("b", spent, False, "a second first contact names the spent one-time prekey")

    def generations(self):
        jump = GENERATION_JUMP_MAX
        _, refused = self.handshake("a", 1 + jump + 1)
        self.arrives("b", refused, False, "gen 18, 1 being the highest known")
        best, accepted = self.handshake("a", 1 + jump)
        self.arrives("b", accepted, True, "gen 17, 1 being the highest known")
        self.choose("b", "a", best)
        _, late = self.handshake("a", 2)
        self.arrives("b", late, True, "gen 2, 17 being the highest known")
        self.choose("b", "a", best)
        _, refused = self.handshake("a", 1 + jump + jump + 1)
        self.arrives("b", refused, False, "gen 34, 17 being the highest known")

    def names_of_sessions(self):
        stranger = Peer(self, self._identity())
        secret = self.rng.randbytes(32)
        name = stranger.begin(1, ephemeral_secret=secret)
        self.arrives("b", stranger.seal(name, first=True), True, "a stranger's first contact")
        copy = deepcopy(stranger.party.sessions[name])
        same = stranger.first(2, ephemeral_secret=secret)
        self.arrives("b", same, False, "another handshake with the same EK")
        stranger.party.sessions[name] = copy
        self.arrives("b", stranger.seal(name, first=True), True, "the first handshake's session is unharmed")
        other = Peer(self, self._identity())
        refused = other.first(GENERATION_JUMP_MAX + 1)
        self.arrives("b", refused, False, "gen 17 of a stranger")
        self.arrives("b", other.first(GENERATION_JUMP_MAX), True, "gen 16 of a stranger")

    def _identity(self, account_seed=None):
        return Identity(account_seed or self.rng.randbytes(32), self.rng.randbytes(32), self.rng.randbytes(32))

    def device_lists(self):
        jump = GENERATION_JUMP_MAX
        c = Peer(self, self.world.parties["c"].identity)
        zero = Peer(self, self._identity())
        refused = zero.first(1, hello=zero.certified(Listed(0, self.rng.randbytes(32))))
        self.arrives("b", refused, False, "list version 0, certified, of a stranger")
        first = c.begin(1)
        self.arrives("b", c.seal(first, first=True), True, "c's first device, on version 1")
        third = Listed(3, self.rng.randbytes(32))
        replaced, waiting = c.first(1), c.seal(first, first=True)
        self.arrives("b", c.first(2, hello=c.certified(third)), True, "version 3, 1 being known")
        self.arrives("b", replaced, False, "a handshake on version 1, 3 being known")
        self.arrives("b", waiting, True, "a further first contact of the session made on version 1")
        self.arrives("b", c.seal(first), True, "an ordinary message of the session made on version 1")
        forked = c.first(3, hello=c.certified(Listed(3, self.rng.randbytes(32))))
        self.arrives("b", forked, False, "another head for version 3")
        self.arrives("b", c.first(3, hello=c.certified(third)), True, "version 3 with the known head")
        new = Peer(self, self._identity(c.party.identity.account_seed))
        fourth = new.certified(Listed(4, self.rng.randbytes(32)))
        refused = new.first(3 + jump + 1, hello=fourth)
        self.arrives("b", refused, False, "another device of the account, gen 20, 3 being the account's highest")
        self.arrives("b", new.first(3 + jump, hello=fourth), True, "another device of the account, gen 19, version 4")
        self.arrives("b", c.first(4, hello=c.certified(third)), False, "the device before, on version 3, 4 being known")
        self.arrives("b", c.seal(first), True, "the device before, on its session")
        prekeys = {
            "seq": 1,
            "created_hour": self.now_s // HOUR_S,
            "shard": 0,
            "signed_prekey_secret": self._hex(32),
            "inbox_secret": self._hex(32),
            "kem_seed": self._hex(64),
        }
        at, _ = self._do(
            "bundle", by="c", now_s=self.now_s, prekeys=prekeys, prefix=self._prefix(), ephemeral=self._ephemeral()
        )
        _, done = self._do("read_bundle", by="b", now_s=self.now_s, bundle=at)
        if done["seq"] is not None:
            raise AssertionError("a bundle on version 1 is taken, 4 being known")

    def skipped_keys(self):
        """Chains of which only the last message arrives, until more keys are skipped than are kept."""
        peer = Peer(self, self._identity())
        name = peer.begin(1)
        session = lambda: peer.party.sessions[name]
        self.arrives("b", peer.seal(name, first=True), True, "the first of a chain")
        # 256 more of the first chain, none of which arrives in time; the last is one beyond the sender's own limit.
        session().acked = 1
        overtaken = [peer.seal(name) for _ in range(WINDOW)]
        self._reply(peer, name)
        arrived = 1
        envelope = self._next_chain(peer, name, lambda s: forge._header(s, previous_length=arrived + WINDOW + 1))
        self.arrives("b", envelope, False, "pn = Nr + 257")
        self.arrives("b", peer.seal(name), True, "pn = Nr + 256")
        for _ in range(3):
            self._reply(peer, name)
            later = [peer.seal(name) for _ in range(WINDOW - 1)]
            self.arrives("b", later[-1], True, "the last of 255, the others being overtaken")
            overtaken += later[:-1]
        self._reply(peer, name)
        kept = SKIPPED_MAX - len(overtaken)
        later = [peer.seal(name) for _ in range(WINDOW - 1)]
        self.arrives("b", later[-1], True, "more are overtaken than are kept")
        overtaken += later[:-1]
        self._do("state", by="b", now_s=self.now_s)
        gone = len(overtaken) - SKIPPED_MAX
        assert gone == len(later) - 1 - kept
        self.arrives("b", overtaken[gone - 1], False, "the newest of those whose keys had to go")
        self.arrives("b", overtaken[gone], True, "the oldest of those that were kept")
        self.arrives("b", overtaken[-1], True, "the newest skipped")
        self.arrives("b", overtaken[gone], False, "a skipped one again")

    def _reply(self, peer, name):
        at = self.seal("b", name)
        peer.party.receive(self.world.envelopes[at], self.now_s)

    def _next_chain(self, peer, name, change):
        """The next message, the first of a chain, with its header changed; the session goes on as if it had not been."""
        before = deepcopy(peer.party.sessions[name])
        peer.seal(name)
        change(peer.party.sessions[name])
        changed = peer.seal(name)
        peer.party.sessions[name] = before
        return changed

    def keys_of_small_order_and_large_envelopes(self):
        peer = Peer(self, self._identity())
        self.arrives("b", peer.small_order_device(1), False, "D_i of small order, certified")
        self.arrives("b", peer.large_first(1), False, "a first contact in a large envelope")
        self.arrives("b", peer.first(1), True, "the same peer's first contact in a small one")

    def inbox_keys(self):
        """b's fifth bundle brings another INB while the first one lives."""
        peers = [Peer(self, self._identity()) for _ in range(2)]
        for _ in range(3):
            self.now_s += 7 * DAY_S
            self.publish("b")
        old_inbox = self.world.pinned["a", "b"].inbox
        _, old = self.handshake("a", 18)
        self.now_s += 7 * DAY_S
        self.publish("b")
        if self.world.pinned["a", "b"].inbox == old_inbox:
            raise AssertionError("the fifth bundle has the same INB")
        _, new = self.handshake("a", 19)
        self.arrives("b", new, True, "under the new INB")
        self.arrives("b", old, True, "under the old INB, with the bundle before")
        self.arrives("b", peers[0].first(1, inbox=old_inbox), True, "names the newest bundle, under the INB before")
        # The old INB was last named seven days ago.
        last = peers[1].first(1, inbox=old_inbox)
        self.now_s += 22 * DAY_S - self.now_s % HOUR_S
        self.arrives("b", last, False, "under an INB whose time is over, naming a bundle that lives")


def produce_contacts(seed):
    return ContactsProducer(seed).run_contacts()
