"""B4: the records that fill a message's plaintext."""

from dataclasses import dataclass

from .primitives import Refused, le4

CONTENT, ACKS, PQ_EK, PQ_CT, CARD = 1, 2, 3, 4, 5
ACKS_MAX = 60
PQ_LENGTHS = {PQ_EK: 4 + 1184, PQ_CT: 4 + 1088}


@dataclass(frozen=True)
class Record:
    kind: int
    data: bytes

    @property
    def bytes(self):
        return bytes([self.kind]) + len(self.data).to_bytes(2, "little") + self.data


def content(message_id, data, part=0, of=1):
    return Record(CONTENT, message_id + bytes([part, of]) + data)


def acks(message_ids):
    return Record(ACKS, b"".join(message_ids))


def card(shard, addr, listed):
    return Record(CARD, le4(shard) + addr + le4(listed.version) + listed.head)


def write(records):
    return b"".join(record.bytes for record in records)


def read(plaintext, post_quantum=False):
    """The known records. Types 3 and 4 are known only to a session with the post-quantum ratchet."""
    records, at = [], 0
    while at < len(plaintext) and plaintext[at] != 0:
        if at + 3 > len(plaintext):
            raise Refused("record_cut_off")
        kind, length = plaintext[at], int.from_bytes(plaintext[at + 1 : at + 3], "little")
        data = plaintext[at + 3 : at + 3 + length]
        if len(data) != length:
            raise Refused("record_cut_off")
        at += 3 + length
        _check(kind, data, post_quantum)
        if kind in (CONTENT, ACKS, CARD) or (post_quantum and kind in PQ_LENGTHS):
            records.append(Record(kind, data))
    return records


def _check(kind, data, post_quantum):
    if kind == CONTENT:
        if len(data) < 18:
            raise Refused("content_too_short")
        if data[16] >= data[17]:
            raise Refused("part_not_below_of")
    elif kind == ACKS:
        if len(data) % 16:
            raise Refused("acks_length")
        if not 1 <= len(data) // 16 <= ACKS_MAX:
            raise Refused("acks_count")
    elif kind == CARD:
        if len(data) != 72:
            raise Refused("card_length")
    elif post_quantum and kind in PQ_LENGTHS and len(data) != PQ_LENGTHS[kind]:
        raise Refused("kem_key_length" if kind == PQ_EK else "kem_ciphertext_length")


def acknowledged(record):
    """The message ids of an acks record."""
    return [record.data[at : at + 16] for at in range(0, len(record.data), 16)]


def to_json(record):
    """As the vectors write a record."""
    d = record.data
    if record.kind == CONTENT:
        fields = {"message_id": d[:16].hex(), "part": d[16], "of": d[17], "bytes": d[18:].hex()}
    elif record.kind in PQ_LENGTHS:
        what = "key" if record.kind == PQ_EK else "ciphertext"
        fields = {"epoch": int.from_bytes(d[:4], "little"), what: d[4:].hex()}
    elif record.kind == ACKS:
        fields = {"message_ids": [i.hex() for i in acknowledged(record)]}
    else:
        number = lambda at: int.from_bytes(d[at : at + 4], "little")
        fields = {"shard": number(0), "addr": d[4:36].hex(), "list_version": number(36), "list_head": d[40:].hex()}
    return {"type": record.kind, **fields}
