"""What a hostile peer could seal: envelopes with every key and tag right and one thing in them wrong.

Flipped bytes say little, since a receiver who checks nothing but authenticity refuses them too. These pass every
decryption, so that only the check in question stands against them. A forger works on a copy of the writer.
"""

from copy import deepcopy
from dataclasses import replace

from . import handshake, records
from .first_contact import Hello
from .identity import Listed, cert_message
from .primitives import ed25519_sign, kem_encapsulate, label, x25519
from .ratchet import WINDOW, Session, next_chain_key, step

SMALL_ORDER = bytes(32)


class Forger:
    def __init__(self, producer, by):
        self.producer, self.rng = producer, producer.rng
        self.by, self.to = by, "b" if by == "a" else "a"

    def _seal(self, party, name, data, first=False):
        p = self.producer
        seal = party.seal_first if first else party.seal
        prefix, ephemeral = bytes.fromhex(p._prefix()), p.ephemeral()
        _, _, envelope = seal(name, data, prefix, ephemeral, self.rng.randbytes(32), p.now_s, self)
        return envelope

    # What the post-quantum ratchet of the copy may draw

    def key_pair(self):
        return self.rng.randbytes(64)

    def encapsulation(self):
        return self.rng.randbytes(32)

    def _content(self):
        return records.write([records.content(self.rng.randbytes(16), b"forged")])

    # In a session: the header or the plaintext of one more message

    def message(self, change=lambda session, root: None, data=None):
        """A message of the session on which `by` sends; change is made when the chain has begun, root is RK before."""
        party = deepcopy(self.producer.world.parties[self.by])
        name = self.producer.session_of(self.by).name
        root = party.sessions[name].root
        self._seal(party, name, b"")
        change(party.sessions[name], root)
        return self._seal(party, name, self._content() if data is None else data)

    def of_the_chain(self):
        """While the peer is in the chain: (what is wrong, envelope)."""
        yield "another dh than the chain's", self.message(lambda s, _: _header(s, dh=self.rng.randbytes(32)))
        yield from self._plaintexts(self.message)
        yield "61 acknowledgements", self.message(data=records.acks([bytes(16)] * 61).bytes)

    def of_the_next_chain(self):
        """While a new chain is due: (what is wrong, envelope)."""
        received = self.producer.world.parties[self.to].sessions[self.producer.session_of(self.by).name].number_r
        if received:
            yield "pn below what came", self.message(lambda s, _: _header(s, previous_length=received - 1))
        beyond = received + WINDOW + 1
        yield "pn beyond the window", self.message(lambda s, _: _header(s, previous_length=beyond))
        yield "an epoch that is not pending", self.message(lambda s, _: _header(s, epoch=77))
        yield "a dh of small order", self.message(_small_order)
        yield "a number beyond the window", self.message(lambda s, _: _number(s, WINDOW))
        yield from self._plaintexts(self.message)

    def _plaintexts(self, seal):
        yield "a record that is cut off", seal(data=b"\x01\xff\xff")
        yield "a content record without its head", seal(data=bytes([1, 17, 0]) + bytes(17))
        yield "part 1 of 1", seal(data=records.content(bytes(16), b"", part=1, of=1).bytes)
        yield "no acknowledgements", seal(data=bytes([2, 0, 0]))
        yield "a short card", seal(data=bytes([5, 71, 0]) + bytes(71))

    # First contacts

    def first_contact(self, hello=lambda h: h, change=lambda session, root: None, data=None, generation=None, by=None):
        """A first contact of a new session: hello changes hs, the rest is as in `message`."""
        party = deepcopy(self.producer.world.parties[by or self.by])
        bundle = self.producer.world.pinned[self.by, self.to]
        if generation is None:
            generation = self.producer.world.parties[self.to].generations.get(party.identity.device.account, 0) + 1
        secrets = self.rng.randbytes(32), self.rng.randbytes(32)
        name = party.begin(bundle, generation, None, *secrets, self.producer.now_s)
        session = party.sessions[name]
        hs, inbox = session.hello
        session.hello = hello(hs), inbox
        root = session.root
        self._seal(party, name, b"", first=True)
        change(party.sessions[name], root)
        return self._seal(party, name, self._content() if data is None else data, first=True)

    def first_contacts(self):
        """(what is wrong, envelope)."""
        of, other = self.first_contact, self.rng.randbytes(32)
        yield "sig_i by another key", of(lambda h: replace(h, signature=self._signed(other, h)))
        yield "cert by another account", of(lambda h: self._certified(h, h.listed, other))
        yield "an older device list, certified", of(lambda h: self._certified(h, Listed(0, h.listed.head)))
        yield "a forked device list, certified", of(lambda h: self._certified(h, Listed(1, other)))
        yield "a bundle that never was", of(lambda h: replace(h, bundle_seq=99))
        yield "a one-time prekey that never was", of(lambda h: replace(h, one_time_id=99))
        yield "generation 0", of(generation=0)
        yield "from the very device that reads it", of(by=self.to)
        yield "EK of small order", self._small_order_handshake()
        yield "pn 1 in the first chain", of(change=lambda s, _: _header(s, previous_length=1))
        yield "an epoch in the first chain", of(change=lambda s, _: _header(s, epoch=1))
        yield "a dh of small order", of(change=_small_order)
        yield "number 256", of(change=lambda s, _: _number(s, WINDOW))
        yield "hs of version 2", of(lambda h: HelloOfVersion2(**h.__dict__))
        yield from self._plaintexts(of)

    def _signed(self, seed, hello):
        """What sig_i should be, by another key."""
        return ed25519_sign(seed, label("init") + self._transcript(hello))

    def _transcript(self, hello):
        bundle = self.producer.world.pinned[self.by, self.to]
        return handshake.transcript_hash(self._parts(hello, bundle))

    def _parts(self, hello, bundle):
        return handshake.Parts(
            network=self.producer.world.parties[self.by].network,
            generation=hello.generation,
            initiator=hello.device,
            responder=bundle.device,
            signed_prekey=bundle.signed_prekey,
            one_time=None,
            kem_key=bundle.kem_key,
            ephemeral=hello.ephemeral,
            kem_ciphertext=hello.kem_ciphertext,
        )

    def _certified(self, hello, listed, account_seed=None):
        seed = account_seed or self.producer.world.parties[self.by].identity.account_seed
        return replace(hello, listed=listed, cert=ed25519_sign(seed, cert_message(hello.device, listed)))

    def _small_order_handshake(self):
        """Who does not refuse all-zero results agrees with this one on every key."""
        party = deepcopy(self.producer.world.parties[self.by])
        bundle = self.producer.world.pinned[self.by, self.to]
        generation = self.producer.world.parties[self.to].generations.get(party.identity.device.account, 0) + 1
        ct, shared = kem_encapsulate(bundle.kem_key, self.rng.randbytes(32))
        me = party.identity
        hello = Hello(generation, bundle.seq, 0, 0, SMALL_ORDER, me.device, me.listed, me.cert, ct, bytes(64))
        hello = replace(hello, signature=self._signed(me.signing_seed, hello))
        agreements = [x25519(me.agreement_secret, bundle.signed_prekey), bytes(32), bytes(32), bytes(32)]
        secrets = handshake.secrets(self._parts(hello, bundle), agreements, shared)
        session = Session.of_initiator(
            secrets,
            generation,
            SMALL_ORDER,
            bundle.device,
            bundle.signed_prekey,
            party.post_quantum,
            self.producer.now_s,
        )
        session.hello = hello, bundle.inbox
        party.sessions[SMALL_ORDER] = session
        return self._seal(party, SMALL_ORDER, self._content(), first=True)


class HelloOfVersion2(Hello):
    @property
    def bytes(self):
        return b"\x02" + super().bytes[1:]


def _header(session, **fields):
    session.header = replace(session.header, **fields)


def _number(session, number):
    """Jumps ahead; the key is another's, but no key should be looked for."""
    session.number_s, session.acked = number, number


def _small_order(session, root):
    """The chain that follows from an all-zero X25519, as message 1 of it."""
    session.root, chain_key, session.next_header_key_s = step(root, bytes(32))
    session.chain_key_s = next_chain_key(chain_key)
    _header(session, dh=SMALL_ORDER)
