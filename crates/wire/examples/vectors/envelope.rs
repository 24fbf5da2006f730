//! Envelopes: fields to bytes, id, and every way to be malformed.

use serde_json::json;

use crate::{Parts, Vectors, array, hex};

struct Fields {
    class: u8,
    topic: u32,
    epoch_hour: u32,
    effort: u32,
    seed: &'static str,
}

impl Fields {
    fn head(&self) -> Vec<u8> {
        let mut head = vec![1, self.class];
        head.extend(self.topic.to_le_bytes());
        head.extend(self.epoch_hour.to_le_bytes());
        head.extend(self.tag());
        head.extend(self.ephemeral());
        head.extend(self.stamp());
        head.extend(self.effort.to_le_bytes());
        head
    }

    fn tag(&self) -> [u8; 16] {
        array(&format!("{} tag", self.seed))
    }

    fn ephemeral(&self) -> [u8; 32] {
        array(&format!("{} ephemeral", self.seed))
    }

    fn stamp(&self) -> [u8; 24] {
        array(&format!("{} stamp", self.seed))
    }

    fn body(&self) -> Parts {
        Parts::default().xof(&format!("{} body", self.seed), if self.class == 0 { 1_962 } else { 16_298 })
    }
}

fn add_valid(vectors: &mut Vectors, comment: &str, fields: &Fields) {
    let (head, body) = (fields.head(), fields.body());
    let whole = [head.as_slice(), &body.bytes].concat();
    vectors.valid(
        comment,
        json!({
            "class": fields.class, "topic": fields.topic, "epoch_hour": fields.epoch_hour, "tag": hex(fields.tag()),
            "ephemeral": hex(fields.ephemeral()), "stamp": hex(fields.stamp()), "effort": fields.effort,
            "body": body.json(),
        }),
        json!({ "prefix": hex(&head[..10]), "associated_data": hex(&head[..58]) }),
        json!({ "head": hex(&head), "bytes": whole.len(), "id": hex(blake3::hash(&whole).as_bytes()) }),
    );
}

fn small(seed: &'static str) -> Fields {
    Fields { class: 0, topic: 0, epoch_hour: 481_302, effort: 64, seed }
}

/// The envelope of `small("broken")` with the bytes at `at` replaced.
fn patched(at: usize, patch: &[u8]) -> serde_json::Value {
    let fields = small("broken");
    let mut head = fields.head();
    head[at..at + patch.len()].copy_from_slice(patch);
    json!({ "bytes": Parts::default().hex(head).xof("broken body", 1_962).json() })
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("3", "envelope");
    let v = &mut vectors;
    add_valid(v, "small, the one topic of depth 0", &small("small"));
    add_valid(v, "large", &Fields { class: 1, effort: 512, ..small("large") });
    add_valid(v, "first hour, no effort", &Fields { epoch_hour: 0, effort: 0, ..small("zero") });
    add_valid(v, "highest numbers", &Fields { epoch_hour: u32::MAX, effort: u32::MAX, ..small("max") });
    add_valid(v, "depth 4, shard 0xa...", &Fields { topic: 0xA000_0004, ..small("shard") });
    add_valid(v, "depth 27, all bits of the shard", &Fields { topic: 0xFFFF_FFFB, class: 1, ..small("deep") });

    let bytes = |parts: Parts| json!({ "bytes": parts.json() });
    v.invalid("nothing", "length", bytes(Parts::default()));
    v.invalid("one byte short", "length", bytes(Parts::default().hex([1, 0]).repeat(0, 2_045)));
    v.invalid("one byte long", "length", bytes(Parts::default().hex([1, 0]).repeat(0, 2_047)));
    v.invalid("one byte short of large", "length", bytes(Parts::default().hex([1, 1]).repeat(0, 16_381)));
    v.invalid("class 1 in 2,048 bytes", "length", patched(1, &[1]));
    v.invalid("class 0 in 16,384 bytes", "length", bytes(Parts::default().hex([1, 0]).repeat(0, 16_382)));
    v.invalid("version 0", "version", patched(0, &[0]));
    v.invalid("version 2", "version", patched(0, &[2]));
    v.invalid("class 2", "class", patched(1, &[2]));
    v.invalid("class 255", "class", patched(1, &[255]));
    v.invalid("depth 28", "topic", patched(2, &28u32.to_le_bytes()));
    v.invalid("depth 31", "topic", patched(2, &u32::MAX.to_le_bytes()));
    v.invalid("depth 0 with a bit of a shard", "topic", patched(2, &0x8000_0000u32.to_le_bytes()));
    v.invalid("depth 4 with a fifth bit", "topic", patched(2, &0xA800_0004u32.to_le_bytes()));
    v.invalid("depth 26 with a 27th bit", "topic", patched(2, &0x0000_003Au32.to_le_bytes()));
    vectors
}
