"""Traces: whole conversations as JSON, every random byte an input. README.md describes the format.

`perform` does one event and says what came of it. A producer writes that into the event; a replayer compares it
with what the event says.
"""

from . import bundle, records
from .device import Party
from .envelope import Ephemeral, Envelope
from .identity import Identity
from .primitives import Refused, x25519_public
from .vectors import Mismatch, watched

FORMAT, VERSION = "starling e2ee trace", 1


class Randomness:
    """What the post-quantum ratchet may draw in one event: given, and used up exactly."""

    def __init__(self, event):
        self.given = {k: event.get(k) for k in ("kem_seed", "kem_randomness")}

    def _take(self, field, length):
        value = self.given[field]
        if value is None:
            raise Mismatch(f"the event gives no {field}, but one is needed")
        self.given[field] = None
        data = bytes.fromhex(value)
        if len(data) != length:
            raise Mismatch(f"{field} has {len(data)} bytes")
        return data

    def key_pair(self):
        return self._take("kem_seed", 64)

    def encapsulation(self):
        return self._take("kem_randomness", 32)

    def check_used(self):
        for field, value in self.given.items():
            if value is not None:
                raise Mismatch(f"the event gives {field}, but none is needed")


class World:
    """The parties of a trace, and the envelopes under way in it."""

    def __init__(self, document):
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise Mismatch(f"not a trace of version {VERSION}")
        network = bytes.fromhex(document["network"])
        self.one_time = {}  # id -> public
        self.addresses = {}
        self.parties = {}
        for p in document["parties"]:
            one_time = [
                (int.from_bytes(bytes.fromhex(o["id"]), "little"), bytes.fromhex(o["secret"])) for o in p["one_time"]
            ]
            self.one_time.update((i, x25519_public(secret)) for i, secret in one_time)
            self.addresses[p["name"]] = bytes.fromhex(p["addr"])
            identity = Identity.from_json(p["identity"])
            self.parties[p["name"]] = Party(identity, network, one_time, document["post_quantum"])
        self.envelopes = {}  # index of the event that sealed it -> Envelope
        self.owners = {}  # index of a bundle event -> name of the party
        self.pinned = {}  # (reader, owner) -> Bundle

    def perform(self, at, event, randomness=None):
        """Does event number `at` and returns what must stand under its `expect`."""
        act = getattr(self, "_" + event["op"], None)
        if act is None:
            raise Mismatch(f"unknown operation {event['op']}")
        if "by" in event and "now_s" in event:
            self.parties[event["by"]].expire(event["now_s"])
        return act(at, event, randomness or Randomness(event))

    def _bundle(self, at, event, _):
        party, prekeys = self.parties[event["by"]], bundle.Prekeys.from_json(event["prekeys"])
        signed = bundle.sign_bundle(party.identity, prekeys)
        party.prekeys[prekeys.seq] = prekeys
        envelope = bundle.seal_bundle(
            signed, self.addresses[event["by"]], bytes.fromhex(event["prefix"]), Ephemeral.from_json(event["ephemeral"])
        )
        self.envelopes[at], self.owners[at] = envelope, event["by"]
        return {"envelope": envelope.to_json()}

    def _read_bundle(self, _, event, __):
        owner = self.owners[event["bundle"]]
        account = self.parties[owner].identity.device.account
        reader, old = self.parties[event["by"]], self.pinned.get((event["by"], owner))
        known = reader.lists.get(account)
        pinned = known and (known, old.seq if old and old.listed == known else 0)
        try:
            found = bundle.open_bundle(
                self.envelopes[event["bundle"]], self.addresses[owner], account, pinned, event["now_s"] // 3600
            )
        except Refused:
            return {"seq": None}
        self.pinned[event["by"], owner] = found
        reader.learn(account, found.listed)
        return {"seq": found.seq}

    def _begin(self, _, event, __):
        party = self.parties[event["by"]]
        one_time = event["one_time"] and int.from_bytes(bytes.fromhex(event["one_time"]), "little")
        name = party.begin(
            self.pinned[event["by"], event["to"]],
            event["generation"],
            (one_time, self.one_time[one_time]) if one_time else None,
            bytes.fromhex(event["ephemeral_secret"]),
            bytes.fromhex(event["kem_randomness"]),
            event["now_s"],
        )
        return {"session": name.hex()}

    def _seal(self, at, event, randomness):
        party, name = self.parties[event["by"]], bytes.fromhex(event["session"])
        secret = event["ratchet_secret"]
        if party.sessions[name].needs_step != (secret is not None):
            raise Mismatch("a ratchet_secret is given exactly where a new sending chain begins")
        seal = party.seal_first if event["first"] else party.seal
        chain, number, envelope = seal(
            name,
            bytes.fromhex(event["records"]),
            bytes.fromhex(event["prefix"]),
            Ephemeral.from_json(event["ephemeral"]),
            secret and bytes.fromhex(secret),
            event["now_s"],
            randomness,
        )
        randomness.check_used()
        self.envelopes[at] = envelope
        return {"chain": chain, "number": number, "envelope": envelope.to_json()}

    def _deliver(self, _, event, __):
        envelope = event["envelope"]
        envelope = Envelope.from_json(envelope) if isinstance(envelope, dict) else self.envelopes[envelope]
        if event["flip"]:
            envelope = envelope.flipped(*event["flip"])
        try:
            got = self.parties[event["by"]].receive(envelope, event["now_s"])
        except Refused:
            return {"opened": None}
        known = [r for r in got.records if r.kind in (records.CONTENT, records.ACKS, records.CARD)]
        return {
            "opened": {
                "session": got.session.hex(),
                "chain": got.chain,
                "number": got.number,
                "records": records.write(known).hex(),
                "one_time": got.one_time_spent.to_bytes(8, "little").hex() if got.one_time_spent else None,
            }
        }

    def _lost(self, _, event, __):
        if event["envelope"] not in self.envelopes:
            raise Mismatch("no such envelope")
        return {}

    def _acknowledged(self, _, event, __):
        session = self.parties[event["by"]].sessions[bytes.fromhex(event["session"])]
        session.acknowledge(event["chain"], event["number"])
        return {}

    def _full(self, _, event, __):
        return {"full": self.parties[event["by"]].sessions[bytes.fromhex(event["session"])].full}

    def _choose(self, _, event, __):
        best = self.parties[event["by"]].best(self.parties[event["to"]].identity.device)
        return {"session": best and best.name.hex()}

    def _state(self, _, event, __):
        sessions = self.parties[event["by"]].sessions.values()
        return {"sessions": {s.name.hex(): {"skipped": len(s.skipped), "watched": watched(s)} for s in sessions}}


def replay(document):
    """Raises Mismatch at the first event that comes out otherwise; returns how many there were."""
    world = World(document)
    for at, event in enumerate(document["events"]):
        try:
            got = world.perform(at, event)
        except (Refused, Mismatch, KeyError, ValueError, TypeError) as problem:
            raise Mismatch(f"event {at}, {event.get('op')}: {problem!r}") from None
        if got != event["expect"]:
            raise Mismatch(f"event {at}, {event['op']}: {difference(got, event['expect'])}")
    return len(document["events"])


def difference(got, expected, path=""):
    if isinstance(got, dict) and isinstance(expected, dict):
        for field in sorted(got.keys() | expected.keys()):
            if got.get(field) != expected.get(field):
                return difference(got.get(field), expected.get(field), f"{path}.{field}")
    return f"{path.lstrip('.') or 'result'}: got {str(got)[:100]}, expected {str(expected)[:100]}"
