"""Checks every case of tests/vectors/e2ee: outputs, the values in between, and that what is invalid is refused."""

import json
import pathlib

from . import bundle, first_contact, handshake, identity, post_quantum, ratchet, records, verification
from .device import Party
from .envelope import Ephemeral, Envelope, check_body
from .primitives import (
    Refused,
    blake3_256,
    ed25519_challenge,
    ed25519_verify,
    kem_check,
    kem_decapsulate,
    kem_encapsulate,
    kem_key_pair,
    label,
    le4,
    sha256,
    x25519,
    x25519_public,
)

# What a vector says of a sealed thing that somebody changed; which check catches it is nobody's business.
TAMPERED = {
    "flipped_byte",
    "flipped_byte_inside",
    "other_address",
    "other_network",
    "other_prekey",
    "not_for_us",
    "not_authentic",
}


class Mismatch(Exception):
    pass


def unhex(value):
    """Every hex string in a value as bytes; other values as they are."""
    if isinstance(value, dict):
        return {k: unhex(v) for k, v in value.items()}
    if isinstance(value, list):
        return [unhex(v) for v in value]
    return bytes.fromhex(value) if isinstance(value, str) else value


def same(what, got, expected):
    if got != expected:
        raise Mismatch(f"{what}: got {show(got)}, expected {show(expected)}")


def show(value):
    return value.hex()[:80] if isinstance(value, bytes) else repr(value)[:200]


def require(got, expected):
    """Compares the fields of a dict that both have; all expected ones must be there."""
    for field, value in expected.items():
        same(field, got.get(field), value)


def run(directory):
    """(passed, [failures])."""
    passed, failures = 0, []
    files = sorted(pathlib.Path(directory).glob("*.json"))
    if not files:
        return 0, [f"{directory}: no vector files"]
    for path in files:
        document = json.loads(path.read_text())
        check = CHECKS.get(document["name"])
        for case in document["cases"]:
            problem = f"no check for {document['name']}" if check is None else problem_of(check, case)
            if problem is None:
                passed += 1
            else:
                failures.append(f"{case['id']} ({case['comment']}): {problem}")
    return passed, failures


def problem_of(check, case):
    try:
        check(case["input"], case["steps"], case["expect"])
    except Refused as refused:
        if case["result"] == "valid":
            return f"refused: {refused}"
        reason = case["reason"]
        if reason not in TAMPERED and reason != str(refused):
            return f"refused as {refused}, not as {reason}"
        return None
    except Mismatch as mismatch:
        return str(mismatch)
    return None if case["result"] == "valid" else f"not refused ({case['reason']})"


def ed25519(i, steps, expect):
    i = unhex(i)
    ed25519_verify(i["public"], i["message"], i["signature"])
    commitment = i["signature"][:32]
    require({"challenge": ed25519_challenge(commitment, i["public"], i["message"])}, unhex(steps))
    require({"commitment": commitment}, unhex(expect))


def tags(i, steps, expect):
    key, number = bytes.fromhex(i["header_key"]), i["number"]
    require({"tag_input": label("tag") + le4(number), "header_input": label("hdr") + le4(number)}, unhex(steps))
    header_key, nonce = ratchet.header_cipher(key, number)
    got = {"tag": ratchet.tag_of(key, number), "header_key": header_key, "header_nonce": nonce}
    require(got, unhex(expect))


def root_step(i, steps, expect):
    i = unhex(i)
    require({"info": label("step") + le4(i["epoch"])}, unhex(steps))
    got = ratchet.step(i["root"], i["shared"], i["epoch"], i["post_quantum"])
    require(dict(zip(("root", "chain_key", "next_header_key"), got)), unhex(expect))


def post_quantum_(i, steps, expect):
    i = unhex(i)
    if i["key"] is not None:
        kem_check(i["key"])
    ek, dk = kem_key_pair(i["key_seed"])
    ct, shared = kem_encapsulate(ek, i["kem_randomness"])
    same("the secret on both sides", kem_decapsulate(dk, ct), shared)
    got = {"key": ek, "key_hash": sha256(ek), "ciphertext": ct, "ciphertext_hash": sha256(ct), "kem_shared": shared}
    require(got, unhex(steps))
    mixed = post_quantum.mixed_secret(i["session_salt"], i["epoch"], ek, ct, shared)
    stepped = ratchet.step(i["root"], i["shared"], i["epoch"], mixed)
    got = dict(zip(("root", "chain_key", "next_header_key"), stepped))
    require({"post_quantum": mixed, **got}, unhex(expect))


def chain(i, _steps, expect):
    key, keys = bytes.fromhex(i["chain_key"]), []
    for _ in range(i["count"]):
        keys.append(ratchet.message_key(key))
        key = ratchet.next_chain_key(key)
    require({"chain_key": key, "message_keys": keys}, unhex(expect))


def records_(i, _steps, expect):
    found = records.read(bytes.fromhex(i["plaintext"]), post_quantum=True)
    # The session's own are listed last: they are handed to the post-quantum ratchet, the others to the caller.
    found.sort(key=lambda record: record.kind in records.PQ_LENGTHS)
    require({"records": [records.to_json(r) for r in found]}, expect)


def message_seal(i, steps, expect):
    i = unhex(i)
    h = i["header"]
    header = ratchet.Header(h["dh"], h["previous_length"], h["epoch"])
    envelope = Envelope(i["prefix"], ratchet.tag_of(i["header_key"], i["number"]), i["ephemeral"], b"")
    mk = ratchet.message_key(i["chain_key"])
    key, nonce = ratchet.body_cipher(i["session_salt"], mk)
    room = {0: 1890, 1: 16226}[i["prefix"][1]]
    plaintext = ratchet.pad(i["records"], room)
    sealed = ratchet.seal_parts(i["header_key"], i["number"], i["session_salt"], mk, header, plaintext, envelope.ad0)
    got = {"ad0": envelope.ad0, "message_key": mk, "body_key": key, "body_nonce": nonce}
    require({**got, "header_ciphertext": sealed[0]}, unhex(steps))
    require({"body": b"".join(sealed), "tag": envelope.tag}, unhex(expect))


def message_open(i, steps, expect):
    envelope = Envelope.from_json(i["envelope"])
    i = unhex(i)
    check_body(envelope)
    mk = ratchet.message_key(i["chain_key"])
    sealed_header, body = envelope.body[:56], envelope.body[56:]
    header = ratchet.open_header(i["header_key"], i["number"], sealed_header, envelope.ad0)
    if header.dh != i["peer_dh"]:
        raise Refused("header_of_another_chain")
    plaintext = ratchet.open_body(i["session_salt"], mk, sealed_header, body, envelope.ad0)
    same("tag", ratchet.tag_of(i["header_key"], i["number"]), envelope.tag)
    require({"ad0": envelope.ad0, "message_key": mk}, unhex(steps))
    got = {"dh": header.dh, "previous_length": header.previous_length, "epoch": header.epoch}
    require(got, unhex(expect["header"]))
    same("records", records.write(records.read(plaintext)), bytes.fromhex(expect["records"]))


def handshake_(i, steps, expect):
    initiator, responder = (identity.Identity.from_json(i[k]) for k in ("initiator", "responder"))
    prekeys = bundle.Prekeys.from_json(i["prekeys"])
    i = unhex(i)
    kem_key, dk = kem_key_pair(prekeys.kem_seed)
    ciphertext, shared = kem_encapsulate(kem_key, i["kem_randomness"])
    one_time = i["one_time_secret"]
    parts = handshake.Parts(
        network=i["network"],
        generation=i["generation"],
        initiator=initiator.device,
        responder=responder.device,
        signed_prekey=i["signed_prekey_public"] or x25519_public(prekeys.signed_prekey_secret),
        one_time=x25519_public(one_time) if one_time else None,
        kem_key=kem_key,
        ephemeral=x25519_public(i["ephemeral_secret"]),
        kem_ciphertext=ciphertext,
    )
    ours = handshake.initiator_agreements(initiator.agreement_secret, i["ephemeral_secret"], parts)
    theirs = handshake.responder_agreements(responder.agreement_secret, prekeys.signed_prekey_secret, one_time, parts)
    same("agreements of both sides", ours, theirs)
    same("shared secret of both sides", kem_decapsulate(dk, ciphertext), shared)
    secrets = handshake.secrets(parts, ours, shared)
    got = {
        "agreements": ours,
        "ephemeral": parts.ephemeral,
        "kem_ciphertext": ciphertext,
        "kem_shared": shared,
        "transcript_hash": secrets.transcript_hash,
        "root": secrets.root,
        "initiator_header_key": secrets.initiator_header_key,
        "responder_header_key": secrets.responder_header_key,
        "session_salt": secrets.session_salt,
        "signature": handshake.sign(initiator.signing_seed, secrets.transcript_hash),
    }
    require(got, unhex(steps))
    require(got, unhex(expect))
    handshake.check_signature(initiator.device.signing, secrets.transcript_hash, got["signature"])


def device_list(i, steps, expect):
    i = unhex(i)
    got = identity.read_device_list(i["account"], i["list"])
    require({"signed_part": i["list"][:-64]}, unhex(steps))
    devices = [{"signing": s, "agreement": d} for s, d in got.devices]
    require({"devices": devices, "head": got.head, "version": got.version}, unhex(expect))


def bundle_seal(i, steps, expect):
    me = identity.Identity.from_json(i["identity"])
    prekeys = bundle.Prekeys.from_json(i["prekeys"])
    ephemeral = Ephemeral.from_json(i["ephemeral"])
    i = unhex(i)
    signed = bundle.sign_bundle(me, prekeys)
    envelope = bundle.seal_bundle(signed, i["addr"], i["prefix"], ephemeral)
    key, nonce = bundle.bundle_key(i["addr"], ephemeral.public)
    got = {
        "account": me.device.account,
        "signing": me.device.signing,
        "agreement": me.device.agreement,
        "bundle": signed,
        "cert": me.cert,
        "device_list": me.list_bytes,
        "list_head": me.listed.head,
        "list_version": me.listed.version,
        "key": key,
        "nonce": nonce,
        "week": envelope.epoch_hour // 168,
    }
    require(got, unhex(steps))
    same("envelope", envelope.to_json(), expect["envelope"])


def bundle_open(i, steps, expect):
    envelope = Envelope.from_json(i["envelope"])
    i = unhex(i)
    pinned = i["pinned"] and (
        identity.Listed(i["pinned"]["list_version"], i["pinned"]["list_head"]),
        i["pinned"]["seq"],
    )
    got = bundle.open_bundle(envelope, i["addr"], i["account"], pinned, i["now_hour"])
    week = envelope.epoch_hour // 168
    require({"week": week, "tag": bundle.bundle_tag(i["addr"], week)}, unhex(steps))
    fields = {
        "account": got.device.account,
        "signing": got.device.signing,
        "agreement": got.device.agreement,
        "list_version": got.listed.version,
        "list_head": got.listed.head,
        "created_hour": got.created_hour,
        "seq": got.seq,
        "shard": got.shard,
        "signed_prekey": got.signed_prekey,
        "inbox": got.inbox,
        "kem_key": got.kem_key,
    }
    require(fields, unhex(expect))


def one_time_of(value):
    """(id, secret) of a vector's one-time prekey, or None."""
    return value and (int.from_bytes(bytes.fromhex(value["id"]), "little"), bytes.fromhex(value["secret"]))


def pair_of(i):
    """Initiator and responder of a vector, the responder with its prekeys; and the responder's bundle."""
    network, one_time = bytes.fromhex(i["network"]), one_time_of(i["one_time"])
    responder = Party(identity.Identity.from_json(i["responder"]), network, [one_time] if one_time else [], True)
    prekeys = bundle.Prekeys.from_json(i["prekeys"])
    responder.prekeys[prekeys.seq] = prekeys
    if "initiator" not in i:
        return None, responder, None
    initiator = Party(identity.Identity.from_json(i["initiator"]), network, [], True)
    return initiator, responder, bundle.read_bundle(bundle.sign_bundle(responder.identity, prekeys))


def begin(initiator, shown, i):
    one_time = one_time_of(i["one_time"])
    public = one_time and (one_time[0], x25519_public(one_time[1]))
    secret, randomness = bytes.fromhex(i["ephemeral_secret"]), bytes.fromhex(i["kem_randomness"])
    return initiator.begin(shown, i.get("generation", 1), public, secret, randomness, 0)


def first_contact_seal(i, steps, expect):
    initiator, responder, shown = pair_of(i)
    ephemeral, prefix = Ephemeral.from_json(i["ephemeral"]), bytes.fromhex(i["prefix"])
    name = begin(initiator, shown, i)
    for _ in range(i["number"] + 1):
        _, number, envelope = initiator.seal_first(
            name, bytes.fromhex(i["records"]), prefix, ephemeral, bytes.fromhex(i["ratchet_secret"]), 0
        )
    same("number", number, i["number"])
    shared = x25519(ephemeral.secret, shown.inbox)
    layer = first_contact.outer(ephemeral.public, shown.inbox, shared)
    opened = first_contact.open_outer(envelope, responder.inboxes()[0])
    got = {
        "outer_salt": ephemeral.public[:31] + bytes([ephemeral.public[31] & 0x7F]) + shown.inbox,
        "outer_shared": shared,
        "vt": layer.tag,
        "outer_key": layer.key,
        "outer_nonce": layer.nonce,
        "hs": opened.hs,
        "header_ciphertext": opened.header,
        "body_ciphertext": opened.body,
    }
    require(got, unhex(steps))
    same("envelope", envelope.to_json(), expect["envelope"])


def first_contact_open(i, steps, expect):
    _, responder, _ = pair_of(i)
    envelope = Envelope.from_json(i["envelope"])
    if i["known_list"]:
        opened = first_contact.open_outer(envelope, responder.inboxes()[0])
        known = unhex(i["known_list"])
        responder.lists[opened.hello.device.account] = identity.Listed(known["list_version"], known["list_head"])
    got = responder.receive(envelope, 0)
    opened = first_contact.open_outer(envelope, responder.inboxes()[0])
    hello = opened.hello
    require({"digest": hello.digest, "hs": opened.hs}, unhex(steps))
    fields = {
        "account": hello.device.account,
        "signing": hello.device.signing,
        "agreement": hello.device.agreement,
        "bundle_seq": hello.bundle_seq,
        "generation": hello.generation,
        "list_version": hello.listed.version,
        "list_head": hello.listed.head,
        "number": hello.number,
        "records": records.write(got.records),
        "session": got.session,
    }
    require(fields, unhex(expect))


def conversation(i, steps, expect):
    initiator, responder, shown = pair_of(i)
    sides = {"initiator": initiator, "responder": responder}
    name = begin(initiator, shown, i)
    same("session", name, bytes.fromhex(steps["session"]))
    sealed = []
    for at, (operation, result) in enumerate(zip(i["operations"], steps["results"], strict=True)):
        try:
            operate(sides, name, sealed, bytes.fromhex(i["prefix"]), operation, result)
        except (Mismatch, Refused) as problem:
            raise Mismatch(f"operation {at}, {operation['op']}: {problem}") from None
    for side, party in sides.items():
        session = party.sessions[name]
        same(f"skipped by the {side}", len(session.skipped), expect[side]["skipped"])
        same(f"watched by the {side}", watched(session), expect[side]["watched"])
        same(f"post-quantum epoch of the {side}", session.post_quantum.epoch, expect[side]["post_quantum_epoch"])


def watched(session):
    """The digest of a session's watched tags that the vectors and the traces carry."""
    found = sorted(tag for tag, _, _ in session.watched())
    return {"count": len(found), "blake3": blake3_256(b"".join(found)).hex()}


class Seed:
    """What a seal may draw: all of the seed for a key pair, its first half to encapsulate."""

    def __init__(self, seed):
        self.seed = seed

    def key_pair(self):
        return self.seed

    def encapsulation(self):
        return self.seed[:32]


def operate(sides, name, sealed, prefix, operation, result):
    kind = operation["op"]
    if kind in ("first", "seal"):
        party = sides[operation["by"]]
        what = [name, bytes.fromhex(operation["records"]), prefix, Ephemeral.from_json(operation["ephemeral"])]
        secret = bytes.fromhex(operation["ratchet_secret"])
        if kind == "first":
            at, number, envelope = party.seal_first(*what, secret, 0)
        else:
            at, number, envelope = party.seal(*what, secret, 0, random=Seed(bytes.fromhex(operation["kem_seed"])))
        got = {
            "chain": at,
            "number": number,
            "tag": envelope.tag,
            "ephemeral": envelope.ephemeral,
            "body_blake3": blake3_256(envelope.body),
        }
        require(got, unhex(result))
        sealed.append((operation["by"], envelope))
    elif kind == "full":
        same("the chain is full", sides[operation["by"]].sessions[name].full, True)
    elif kind in ("open", "fails"):
        writer, envelope = sealed[operation["envelope"]]
        reader = sides["responder" if writer == "initiator" else "initiator"]
        try:
            got = reader.receive(envelope, 0)
        except Refused:
            if kind == "open":
                raise
            return
        same("opens", kind, "open")
        # Those of the post-quantum ratchet are the session's own.
        told = [record for record in got.records if record.kind not in records.PQ_LENGTHS]
        same("records", records.write(told), bytes.fromhex(result["records"]))
    else:
        raise Mismatch(f"unknown operation {kind}")


def safety_number(i, steps, expect):
    got = verification.safety_number(*(bytes.fromhex(i[field]) for field in ("own", "theirs")))
    hashes = {field: value for field, value in steps.items() if field != "word_indexes"}
    require(got, {**unhex(hashes), "word_indexes": steps["word_indexes"]})
    require(got, expect)


def verification_code(i, steps, expect):
    own, theirs, other = (bytes.fromhex(i[field]) for field in ("own", "theirs", "other_contact"))
    maker, about = verification.decode(i["text"])
    require({"maker": maker, "about": about}, unhex(steps))
    comparison = verification.compare(maker, about, own, theirs, [other])
    require({"comparison": comparison, "text": verification.encode(maker, about)}, expect)


CHECKS = {
    "ed25519": ed25519,
    "tags": tags,
    "root_step": root_step,
    "post_quantum": post_quantum_,
    "chain": chain,
    "records": records_,
    "message_seal": message_seal,
    "message_open": message_open,
    "handshake": handshake_,
    "device_list": device_list,
    "bundle_seal": bundle_seal,
    "bundle_open": bundle_open,
    "first_contact_seal": first_contact_seal,
    "first_contact_open": first_contact_open,
    "conversation": conversation,
    "safety_number": safety_number,
    "verification_code": verification_code,
}
