//! Push cells: lengths, and the plaintexts of the layers.

use serde_json::json;

use crate::{Parts, Vectors, array, hex};

const CLASSES: [(u8, usize); 2] = [(0, 2_048), (1, 16_384)];

fn add_valid(v: &mut Vectors, class: u8, envelope_bytes: usize) {
    let cell_bytes = envelope_bytes + 512;
    let cell = Parts::default().xof("cell", cell_bytes);
    let lengths = json!({ "exit_layer": envelope_bytes + 49, "guard_layer": envelope_bytes + 130 });
    v.valid("cell", json!({ "op": "cell", "bytes": cell.json() }), lengths, json!({ "class": class }));
    let envelope = Parts::default().xof("envelope", envelope_bytes);
    let plaintext = Parts::default().hex([1]).xof("envelope", envelope_bytes);
    v.valid(
        "publish",
        json!({ "op": "exit", "class": class, "bytes": plaintext.json() }),
        json!({}),
        json!({ "order": "publish", "envelope": envelope.json() }),
    );
    let drop = Parts::default().hex([2]).repeat(0, envelope_bytes);
    v.valid(
        "drop",
        json!({ "op": "exit", "class": class, "bytes": drop.json() }),
        json!({}),
        json!({ "order": "drop" }),
    );
    let exit_layer = Parts::default().xof("exit layer", envelope_bytes + 49);
    let node_key = array::<32>("node key");
    let forward = Parts::default().hex([3]).hex(node_key).xof("exit layer", envelope_bytes + 49);
    v.valid(
        "forward",
        json!({ "op": "guard", "class": class, "bytes": forward.json() }),
        json!({}),
        json!({ "node_key": hex(node_key), "exit_layer": exit_layer.json() }),
    );
}

fn add_invalid(v: &mut Vectors, class: u8, envelope_bytes: usize) {
    for bytes in [0, envelope_bytes, envelope_bytes + 511, envelope_bytes + 513] {
        let input = json!({ "op": "cell", "bytes": Parts::default().repeat(1, bytes).json() });
        v.invalid("a cell of another length", "length", input);
    }
    let plaintext = |op: &str, order: u8, rest: usize| {
        let bytes = Parts::default().hex([order]).repeat(0, rest);
        json!({ "op": op, "class": class, "bytes": bytes.json() })
    };
    v.invalid("publish, one byte short", "length", plaintext("exit", 1, envelope_bytes - 1));
    v.invalid("publish, one byte long", "length", plaintext("exit", 1, envelope_bytes + 1));
    v.invalid("drop, one byte short", "length", plaintext("exit", 2, envelope_bytes - 1));
    for order in [0, 3, 4, 255] {
        v.invalid("an order that no exit has", "order", plaintext("exit", order, envelope_bytes));
    }
    v.invalid("forward, one byte short", "length", plaintext("guard", 3, envelope_bytes + 80));
    v.invalid("forward, one byte long", "length", plaintext("guard", 3, envelope_bytes + 82));
    for order in [0, 1, 2, 4] {
        v.invalid("an order that no guard has", "order", plaintext("guard", order, envelope_bytes + 81));
    }
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("8.1", "push_cell");
    for (class, envelope_bytes) in CLASSES {
        add_valid(&mut vectors, class, envelope_bytes);
    }
    for (class, envelope_bytes) in CLASSES {
        add_invalid(&mut vectors, class, envelope_bytes);
    }
    vectors
}
