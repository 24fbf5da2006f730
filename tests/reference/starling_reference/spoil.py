"""Negative controls: a trace with one thing in it made wrong, which every replayer must notice."""


def _first(document, accept):
    return next(e for e in document["events"] if accept(e))


def _flip(holder, field, at=-1):
    data = bytearray.fromhex(holder[field])
    data[at] ^= 1
    holder[field] = data.hex()


def _sealed(event):
    return event["op"] == "seal" and not event["first"]


def _opened(event):
    return event["op"] == "deliver" and event["expect"]["opened"] is not None


def body(document):
    """The last byte of a sealed body."""
    _flip(_first(document, _sealed)["expect"]["envelope"], "body")


def tag(document):
    _flip(_first(document, _sealed)["expect"]["envelope"], "tag")


def first_contact(document):
    """A byte of the sealed first contact."""
    _flip(_first(document, lambda e: e["op"] == "seal" and e["first"])["expect"]["envelope"], "body", 700)


def bundle(document):
    """A byte of a sealed bundle, within its ML-KEM key."""
    _flip(_first(document, lambda e: e["op"] == "bundle")["expect"]["envelope"], "body", 900)


def kem(document):
    """The randomness of the encapsulation."""
    _flip(_first(document, lambda e: e["op"] == "begin"), "kem_randomness")


def ratchet(document):
    """The secret of a new sending chain."""
    _flip(_first(document, lambda e: e["op"] == "seal" and e["ratchet_secret"]), "ratchet_secret", 5)


def records(document):
    """A byte of the records that a delivery is said to yield."""
    _flip(_first(document, _opened)["expect"]["opened"], "records")


def refused(document):
    """A delivery that opens is said not to."""
    _first(document, _opened)["expect"]["opened"] = None


def accepted(document):
    """A delivery that does not open is said to."""
    good = _first(document, _opened)["expect"]
    bad = _first(document, lambda e: e["op"] == "deliver" and e["expect"]["opened"] is None)
    bad["expect"] = good


def watched(document):
    """The digest of the watched tags at the end."""
    last = next(e for e in reversed(document["events"]) if e["op"] == "state")
    _flip(next(iter(last["expect"]["sessions"].values()))["watched"], "blake3")


def dropped(document):
    """A delivery that opened never came: what the parties watch is another set from then on."""
    event = _first(document, _opened)
    event.pop("expect"), event.pop("flip"), event.pop("now_s"), event.pop("by")
    event.update(op="lost", expect={})


WAYS = {
    way.__name__: way
    for way in (body, tag, first_contact, bundle, kem, ratchet, records, refused, accepted, watched, dropped)
}


def spoil_vectors(document):
    """Makes one expected value of a vector file wrong, and calls one invalid case valid; how many cases that is."""
    valid = next(c for c in document["cases"] if c["result"] == "valid")
    _change(*_first_text(valid["expect"]))
    invalid = next((c for c in document["cases"] if c["result"] == "invalid"), None)
    if invalid is None:
        return 1
    invalid["result"] = "valid"
    return 2


def _change(holder, field):
    """Another text of the same kind: hex, digits, or a word."""
    text = holder[field]
    try:
        _flip(holder, field)
    except ValueError:
        holder[field] = text + "x"
    assert holder[field] != text


def _first_text(value):
    """Where the first string in a value stands: (holder, field)."""
    fields = value.items() if isinstance(value, dict) else enumerate(value)
    for field, inner in fields:
        if isinstance(inner, str):
            return value, field
        if isinstance(inner, (dict, list)) and (found := _first_text(inner)):
            return found
    return None
