"""Makes traces from a seed: who says what, what is lost, repeated, overtaken, changed or late.

The seed serves this module alone. A trace carries every byte that was drawn, so that no replayer needs it.
"""

import random

from . import records
from .forge import Forger
from .envelope import Ephemeral
from .device import GENERATION_JUMP_MAX
from .primitives import blake3_256
from .trace import FORMAT, VERSION, Randomness, World

START_S = 494_000 * 3600
DAY_S = 86_400


class Drawn(Randomness):
    """Draws, and notes in the event what was drawn."""

    def __init__(self, rng, event):
        super().__init__(event)
        self.rng, self.event = rng, event

    def _take(self, field, length):
        data = self.rng.randbytes(length)
        self.event[field] = data.hex()
        return data


class Producer:
    def __init__(self, seed, post_quantum, names=("a", "b")):
        self.rng = rng = random.Random(f"{seed} {post_quantum}")
        self.seed = seed
        self.now_s = START_S
        self.loss = rng.choice([0, 0.1, 0.3, 0.5])
        self.delay_s = rng.choice([60, 5 * 3600, 2 * DAY_S])
        self.document = {
            "format": FORMAT,
            "version": VERSION,
            "made_by": "python",
            "comment": f"seed {seed}, loss {self.loss}, mean delay {self.delay_s} s",
            "post_quantum": post_quantum,
            "network": blake3_256(b"reference").hex(),
            "parties": [self._party(name) for name in names],
            "events": [],
        }
        self.world = World(self.document)
        self.under_way = []  # (arrival, order, event index, recipient, flip)
        self.sequence = 0
        self.pools = {"a": {}, "b": {}}  # what did not open, by tag: B11.6 looks there when tags become watched
        self.acks_due = {"a": [], "b": []}
        self.sealed_at = {}  # message id -> (writer, session, chain, number), of the first sealing
        self.seq = {"a": 0, "b": 0}
        self.patience_s = DAY_S  # how long an exchange may take
        self.spent = None  # the one-time prekey that was used up
        self.inbox = {}

    def _hex(self, length):
        return self.rng.randbytes(length).hex()

    def _party(self, name):
        return {
            "name": name,
            "identity": {k: self._hex(32) for k in ("account_seed", "signing_seed", "agreement_secret")},
            "addr": self._hex(32),
            "one_time": [{"id": self._hex(8), "secret": self._hex(32)} for _ in range(2)],
        }

    def _do(self, op, **inputs):
        event = {"op": op, **inputs}
        at = len(self.document["events"])
        event["expect"] = self.world.perform(at, event, Drawn(self.rng, event))
        self.document["events"].append(event)
        return at, event["expect"]

    def ephemeral(self):
        return Ephemeral(self.rng.randbytes(32), self.rng.randrange(2))

    def _ephemeral(self):
        return self.ephemeral().to_json()

    def _prefix(self, large=False):
        return (bytes([1, large, 0, 0, 0, 0]) + (self.now_s // 3600).to_bytes(4, "little")).hex()

    def publish(self, by):
        self.seq[by] += 1
        party = self.world.parties[by]
        party.expire(self.now_s)
        if self.seq[by] % 4 == 1 or not party.inboxes():
            self.inbox[by] = self._hex(32)
        prekeys = {
            "seq": self.seq[by],
            "created_hour": self.now_s // 3600,
            "shard": self.rng.randrange(2**32),
            "signed_prekey_secret": self._hex(32),
            "inbox_secret": self.inbox[by],
            "kem_seed": self._hex(64),
        }
        at, _ = self._do(
            "bundle", by=by, now_s=self.now_s, prekeys=prekeys, prefix=self._prefix(), ephemeral=self._ephemeral()
        )
        self._do("read_bundle", by=other(by), now_s=self.now_s + 7200, bundle=at)

    def begin(self, by, one_time=None, generation=None):
        device = self.world.parties[other(by)].identity.device
        if generation is None:
            generation = self.world.parties[by].generations.get(device.account, 0) + 1
        self._do(
            "begin",
            by=by,
            to=other(by),
            now_s=self.now_s,
            generation=generation,
            one_time=one_time,
            ephemeral_secret=self._hex(32),
            kem_randomness=self._hex(32),
        )
        self._do("choose", by=by, to=other(by))

    def session_of(self, by):
        return self.world.parties[by].best(self.world.parties[other(by)].identity.device)

    def say(self, by, lossless=False, lost=False):
        """One message, and what the network does to it."""
        session = self.session_of(by)
        if session is None:
            return
        if session.full:
            self._do("full", by=by, session=session.name.hex())
            return
        # The first message of a session is a first contact; of those before the answer, the most are repetitions.
        first = session.hello is not None and (lossless or session.header is None or self.rng.random() < 0.7)
        large = not first and self.rng.random() < 0.1
        message_id = self.rng.randbytes(16)
        data = [records.content(message_id, self.rng.randbytes(self.rng.randrange(120)))]
        if self.acks_due[by]:
            due = self.acks_due[by][-8:]
            data.append(records.acks(due))
            self.acks_due[by] = [i for i in self.acks_due[by] if i not in due] if self.rng.random() < 0.7 else due
        if self.rng.random() < 0.2:
            party = self.world.parties[by]
            data.append(records.card(self.rng.randrange(2**32), self.rng.randbytes(32), party.identity.listed))
        at, done = self._do(
            "seal",
            by=by,
            now_s=self.now_s,
            session=session.name.hex(),
            first=first,
            prefix=self._prefix(large),
            ephemeral=self._ephemeral(),
            ratchet_secret=self._hex(32) if session.needs_step else None,
            records=records.write(data).hex(),
        )
        self.sealed_at[message_id] = by, session.name.hex(), done["chain"], done["number"]
        if not lost:
            self._send(at, other(by), lossless)

    def _send(self, at, to, lossless=False):
        rng = self.rng
        copies = 0
        if lossless or rng.random() >= self.loss:
            copies = 2 if rng.random() < 0.15 else 1
        if copies == 0:
            self._do("lost", envelope=at)
        if rng.random() < 0.1:
            size = 58 + len(self.world.envelopes[at].body)
            flip = [rng.choice([rng.randrange(58), rng.randrange(size)]), 1 << rng.randrange(8)]
            self._arrive(at, to, flip, lossless)
        for _ in range(copies):
            self._arrive(at, to, None, lossless)

    def _arrive(self, at, to, flip, soon):
        delay = self.rng.expovariate(1 / self.delay_s)
        if soon:
            delay = min(delay, self.patience_s)
        elif self.rng.random() < 0.05:
            delay += self.rng.uniform(8, 18) * DAY_S
        self.under_way.append((self.now_s + int(delay), self.sequence, at, to, flip))
        self.sequence += 1

    def deliver_due(self, until_s):
        self.under_way.sort()
        while self.under_way and self.under_way[0][0] <= until_s:
            arrival, _, at, to, flip = self.under_way.pop(0)
            self.now_s = max(self.now_s, arrival)
            self._deliver(to, at, flip)
        self.now_s = max(self.now_s, until_s)

    def _deliver(self, to, at, flip):
        _, done = self._do("deliver", by=to, now_s=self.now_s, envelope=at, flip=flip)
        if done["opened"] is None:
            envelope = self.world.envelopes[at]
            tag = envelope.flipped(*flip).tag if flip else envelope.tag
            self.pools[to].setdefault(tag, set()).add((at, tuple(flip or ())))
            return
        self.spent = done["opened"]["one_time"] or self.spent
        self._opened(to, bytes.fromhex(done["opened"]["records"]))
        session = self.world.parties[to].sessions[bytes.fromhex(done["opened"]["session"])]
        for tag, _, _ in session.watched():
            for early, early_flip in sorted(self.pools[to].pop(tag, ())):
                self._deliver(to, early, list(early_flip) or None)

    def _opened(self, by, data):
        for record in records.read(data):
            if record.kind == records.CONTENT:
                self.acks_due[by].append(record.data[:16])
            elif record.kind == records.ACKS:
                for message_id in records.acknowledged(record):
                    writer, session, chain, number = self.sealed_at[message_id]
                    if bytes.fromhex(session) in self.world.parties[writer].sessions:
                        self._do("acknowledged", by=writer, session=session, chain=chain, number=number)

    def state(self):
        for by in ("a", "b"):
            self._do("state", by=by, now_s=self.now_s)

    def run(self):
        rng = self.rng
        self.publish("a")
        self.publish("b")
        invited = rng.random() < 0.6
        one_time = self.document["parties"][1]["one_time"][0]["id"]
        self.begin("a", one_time if invited else None)
        if rng.random() < 0.4:
            self.begin("b")
        for turn in range(rng.randrange(15, 40)):
            by = rng.choice("ab")
            for _ in range(rng.choice([1, 1, 2, 5])):
                self.say(by)
            self.deliver_due(self.now_s + int(rng.expovariate(1 / (self.delay_s / 2))))
            if turn % 10 == 9:
                self.state()
        if self.seed % 8 == 3:
            self.fill("a")
        if self.seed % 16 == 5:
            self.overflow()
        if rng.random() < 0.5:
            self.recover(rng.choice("ab"))
        self.deliver_due(self.now_s + 20 * DAY_S)
        for by in "abab":
            self.exchange(by)
        self.state()
        self.hostile()
        self.limits_of_handshakes()
        self.state()
        return self.document

    def run_hostile(self):
        """Little more than what a hostile peer may try, within some hours: the trace that is kept beside the vectors."""
        self.loss, self.delay_s, self.patience_s = 0, 60, 600
        self.document["comment"] = "a hostile peer"
        self.publish("a")
        self.publish("b")
        self.begin("a", self.document["parties"][1]["one_time"][0]["id"])
        for by in "aba":
            self.exchange(by)
        self.hostile()
        self.state()
        return self.document

    def exchange(self, by):
        """Over a network that loses nothing a message must arrive, whatever was lost before it."""
        before = len(self.document["events"])
        self.say(by, lossless=True)
        self.deliver_due(self.now_s + self.patience_s)
        events = self.document["events"][before:]
        sealed = [before + i for i, e in enumerate(events) if e["op"] == "seal"]
        opened = [e["envelope"] for e in events if e["op"] == "deliver" and e["expect"]["opened"]]
        if not set(sealed) <= set(opened):
            raise AssertionError(f"{self.document['comment']}: a message that was delivered does not open")

    def hostile(self):
        """What a peer with the right keys must not get away with. Then all goes on as if nothing had been."""
        self.publish("b")
        self.exchange("a")
        forger = Forger(self, "a")
        if self.session_of("a").chains_s == self.world.parties["b"].sessions[self.session_of("a").name].chains_r:
            self._forged(forger.of_the_chain())
        self.exchange("b")
        if self.session_of("a").needs_step:
            self._forged(forger.of_the_next_chain())
        self._forged(forger.first_contacts())
        self.state()
        self.exchange("a")

    def _forged(self, envelopes):
        for comment, envelope in list(envelopes):
            _, done = self._do(
                "deliver", by="b", now_s=self.now_s, envelope=envelope.to_json(), flip=None, comment=comment
            )
            if done["opened"]:
                raise AssertionError(f"{self.document['comment']}: {comment}: it opens")

    def limits_of_handshakes(self):
        """First contacts that the rules forbid: none may open, none may leave a trace. And one that they just allow."""
        self.publish("b")
        if self.spent:
            self.begin("a", self.spent)
            self.contact(wait_s=60, opens=False)
        self.begin("a")
        self.contact(wait_s=29 * DAY_S - self.now_s % 3600, opens=False)
        self.publish("b")
        known = self.world.parties["b"].generations[self.world.parties["a"].identity.device.account]
        self.begin("a", generation=known + GENERATION_JUMP_MAX + 1)
        self.contact(wait_s=60, opens=False)
        # Lower than the one before, so that it is not the best one of a's.
        self.begin("a", generation=known + GENERATION_JUMP_MAX)
        name = bytes.fromhex(self.document["events"][-2]["expect"]["session"])
        self.contact(wait_s=60, opens=True, session=self.world.parties["a"].sessions[name])

    def contact(self, wait_s, opens, session=None):
        """A first contact of a's, on its best session unless told; delivered after a while."""
        session = session or self.session_of("a")
        data = records.write([records.content(self.rng.randbytes(16), b"let me in")])
        at, _ = self._do(
            "seal",
            by="a",
            now_s=self.now_s,
            session=session.name.hex(),
            first=True,
            prefix=self._prefix(),
            ephemeral=self._ephemeral(),
            ratchet_secret=self._hex(32) if session.needs_step else None,
            records=data.hex(),
        )
        self.now_s += wait_s
        _, done = self._do("deliver", by="b", now_s=self.now_s, envelope=at, flip=None)
        if bool(done["opened"]) != opens:
            raise AssertionError(f"{self.document['comment']}: a first contact opens: {not opens}, against the rules")

    def overflow(self):
        """More skipped keys than a session keeps: the oldest go, and their messages no longer open."""
        session = self.session_of("a")
        if session is None or self.session_of("b") is None or session.name != self.session_of("b").name:
            return
        overtaken = []
        for _ in range(5):
            first_of_chain = len(self.document["events"])
            while not self.session_of("a").full and len(self.document["events"]) - first_of_chain < 254:
                self.say("a", lost=True)
            overtaken += [i for i in range(first_of_chain, len(self.document["events"])) if self._is_seal(i)]
            self._deliver("b", overtaken.pop(), None)
            self.exchange("b")
        for at in overtaken[:3] + overtaken[-3:]:
            self._deliver("b", at, None)
        self.state()

    def _is_seal(self, at):
        return self.document["events"][at]["op"] == "seal"

    def fill(self, by):
        """A whole chain of which nothing but the first message arrives in time, so that the next one skips the rest."""
        before = len(self.document["events"])
        self.exchange(by)
        while (session := self.session_of(by)) is not None and not session.full:
            self.say(by, lost=True)
        self.say(by)
        late = [at for at in range(before, len(self.document["events"])) if self._is_seal(at)]
        self.exchange(other(by))
        self.exchange(by)
        self.state()
        for at in self.rng.sample(late, 20):
            self._deliver(other(by), at, None)

    def recover(self, by):
        """B7: a new handshake on a newer bundle, while the old session still receives."""
        self.publish(other(by))
        self.begin(by)
        for _ in range(4):
            self.say(by)
            self.say(other(by))
        self.deliver_due(self.now_s + int(self.delay_s))


def other(by):
    return "b" if by == "a" else "a"


def produce(seed, post_quantum=False, hostile=False):
    producer = Producer(seed, post_quantum)
    return producer.run_hostile() if hostile else producer.run()
