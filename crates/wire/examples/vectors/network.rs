//! Networks: topics, names of topics and protocols, DHT keys, efforts, and the hash of parameters.

use serde_json::{Value, json};

use crate::{Vectors, hex, label};

fn add_topic(v: &mut Vectors, comment: &str, shard: u32, bits: u8, topic: u32) {
    v.valid(
        comment,
        json!({ "op": "topic", "network": "lab7", "shard": shard, "shard_bits": bits }),
        json!({}),
        json!({ "topic": topic, "gossip_topic": format!("/starling/lab7/t1/{topic:08x}") }),
    );
}

fn add_provider_key(v: &mut Vectors, network: &str, topic: u32, epoch_hour: u32, index: u8) {
    let id = blake3::hash(network.as_bytes());
    let day = epoch_hour / 24;
    let mut preimage = label("provider");
    preimage.extend(id.as_bytes());
    preimage.extend(topic.to_le_bytes());
    preimage.extend(day.to_le_bytes());
    preimage.push(index);
    let key = [&[0x12, 0x20], blake3::hash(&preimage).as_bytes().as_slice()].concat();
    v.valid(
        &format!("key {index} of topic {topic:08x}"),
        json!({ "op": "provider_key", "network": network, "topic": topic, "epoch_hour": epoch_hour, "index": index }),
        json!({ "network_id": hex(id.as_bytes()), "day": day, "preimage": hex(&preimage) }),
        json!({ "key": hex(key) }),
    );
}

/// The parameters as the crate's serde names them, and their canonical bytes by hand.
struct Parameters {
    name: &'static str,
    shard_bits: u8,
    effort_base: u32,
    budgets: [u64; 2],
    numbers: [u32; 8],
    cover: u8,
    scope: u8,
}

const NUMBERS: [&str; 8] = [
    "lifetime_hours",
    "hop_delay_ms",
    "receipt_delay_ms",
    "inbox_batch_min_ms",
    "inbox_batch_max_ms",
    "sync_interval_ms",
    "push_timeout_ms",
    "resend_ms",
];

impl Parameters {
    fn json(&self) -> Value {
        let cover = ["off", "light", "full"][usize::from(self.cover)];
        let scope = ["internet", "lan", "loopback"][usize::from(self.scope)];
        let mut value = json!({
            "name": self.name, "shard_bits": self.shard_bits, "effort_base": self.effort_base,
            "budget_small_bytes": self.budgets[0], "budget_large_bytes": self.budgets[1],
            "cover": cover,
            "scope": scope,
        });
        for (name, number) in NUMBERS.iter().zip(self.numbers) {
            value[*name] = json!(number);
        }
        value
    }

    fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![self.name.len() as u8];
        bytes.extend(self.name.as_bytes());
        bytes.push(self.shard_bits);
        bytes.extend(self.effort_base.to_le_bytes());
        self.budgets.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        self.numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend([self.cover, self.scope]);
        bytes
    }
}

const MAIN: Parameters = Parameters {
    name: "main",
    shard_bits: 0,
    effort_base: 64,
    budgets: [27_000_000, 9_000_000],
    numbers: [336, 400, 20_000, 100, 300, 30_000, 5_000, 600_000],
    cover: 2,
    scope: 0,
};
const LAB: Parameters = Parameters {
    name: "lab7",
    effort_base: 1,
    numbers: [336, 0, 0, 0, 0, 250, 500, 2_000],
    cover: 0,
    scope: 2,
    ..MAIN
};

fn add_parameters(v: &mut Vectors, comment: &str, parameters: &Parameters) {
    let canonical = parameters.canonical();
    let efforts = |factor: u32| [1, 4, 16, 64].map(|step| parameters.effort_base * step * factor);
    v.valid(
        comment,
        json!({ "op": "parameters", "parameters": parameters.json() }),
        json!({ "canonical": hex(&canonical) }),
        json!({
            "hash": hex(blake3::hash(&canonical).as_bytes()),
            "efforts_small": efforts(1), "efforts_large": efforts(8),
            "link_protocol": format!("/starling/{}/link/1", parameters.name),
        }),
    );
}

fn add_invalid(v: &mut Vectors, comment: &str, reason: &str, parameters: &Parameters) {
    v.invalid(comment, reason, json!({ "op": "parameters", "parameters": parameters.json() }));
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("5", "network");
    let v = &mut vectors;
    add_topic(v, "depth 0: one topic for all shards", 0xDEAD_BEEF, 0, 0);
    add_topic(v, "depth 4", 0xDEAD_BEEF, 4, 0xD000_0004);
    add_topic(v, "depth 12", 0xDEAD_BEEF, 12, 0xDEA0_000C);
    add_topic(v, "depth 27", 0xDEAD_BEEF, 27, 0xDEAD_BEFB);
    v.invalid("depth 28", "depth", json!({ "op": "topic", "network": "lab7", "shard": 0, "shard_bits": 28 }));
    v.invalid("depth 255", "depth", json!({ "op": "topic", "network": "lab7", "shard": 0, "shard_bits": 255 }));

    (0..8).for_each(|index| add_provider_key(v, "main", 0, 481_302, index));
    add_provider_key(v, "lab7", 0xD000_0004, 23, 0);
    add_provider_key(v, "lab7", 0xD000_0004, 24, 7);

    add_parameters(v, "the public network", &MAIN);
    add_parameters(v, "a private network with its defaults", &LAB);
    let all_else = Parameters {
        name: "a-0",
        shard_bits: 27,
        effort_base: 4_096,
        budgets: [65_536, 1 << 32],
        numbers: [1_440, 60_000, 3_600_000, 1, 60_000, 3_600_000, 120_000, 3_600_000],
        cover: 1,
        scope: 1,
    };
    add_parameters(v, "every number another one", &all_else);

    add_invalid(v, "no name", "name", &Parameters { name: "", ..LAB });
    add_invalid(v, "a name of 33", "name", &Parameters { name: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ..LAB });
    add_invalid(v, "an upper-case name", "name", &Parameters { name: "Lab7", ..LAB });
    add_invalid(v, "a name with a slash", "name", &Parameters { name: "lab/7", ..LAB });
    add_invalid(v, "main, cheaper", "main_is_fixed", &Parameters { effort_base: 1, ..MAIN });
    add_invalid(v, "depth 28", "range", &Parameters { shard_bits: 28, ..LAB });
    add_invalid(v, "no effort", "range", &Parameters { effort_base: 0, ..LAB });
    add_invalid(v, "a budget of 32 envelopes less one byte", "range", &Parameters { budgets: [65_535, 65_536], ..LAB });
    let swapped = [336, 0, 0, 300, 100, 250, 500, 2_000];
    add_invalid(v, "inbox batch ends before it begins", "range", &Parameters { numbers: swapped, ..LAB });
    vectors
}
