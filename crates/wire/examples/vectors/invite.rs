//! Invites: as bytes, as text in all the shapes in which people paste it, and every kind of damage.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use crate::{Vectors, array, hex};

/// The fields between header and checksum.
#[derive(Clone)]
struct Invite {
    one_time_key: Option<u64>,
    expiry_hour: u32,
    name: &'static str,
    /// kind, port, ip bytes, seed of the node key
    peers: Vec<(u8, u16, Vec<u8>, &'static str)>,
}

impl Invite {
    fn flags(&self) -> u8 {
        u8::from(self.one_time_key.is_some())
    }

    /// Everything from the network to the last peer.
    fn fields(&self) -> Vec<u8> {
        let mut bytes = blake3::hash(b"main").as_bytes()[..5].to_vec();
        bytes.extend(array::<32>("account"));
        bytes.extend(array::<32>("address"));
        bytes.extend(0xDEAD_BEEFu32.to_le_bytes());
        if let Some(id) = self.one_time_key {
            bytes.extend(id.to_le_bytes());
            bytes.extend(array::<32>("one-time key"));
        }
        bytes.extend(self.expiry_hour.to_le_bytes());
        bytes.push(self.name.len() as u8);
        bytes.extend(self.name.as_bytes());
        for (kind, port, ip, seed) in &self.peers {
            bytes.push(*kind);
            bytes.extend(port.to_le_bytes());
            bytes.extend(ip);
            bytes.extend(array::<32>(seed));
        }
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        sealed(1, self.flags(), &self.fields())
    }

    fn text(&self) -> String {
        text(&self.bytes())
    }

    fn expect(&self) -> Value {
        let peers = self.peers.iter().map(|(kind, port, ip, seed)| {
            let kind = ["quic", "tcp"][usize::from(kind & 1)];
            json!({ "kind": kind, "port": port, "ip": hex(ip), "node_key": hex(array::<32>(seed)) })
        });
        let key = self.one_time_key.map(|id| json!({ "id": id, "public": hex(array::<32>("one-time key")) }));
        json!({
            "network": "main", "account": hex(array::<32>("account")), "address": hex(array::<32>("address")),
            "shard": 0xDEAD_BEEFu32, "one_time_key": key, "expiry_hour": self.expiry_hour, "name": self.name,
            "peers": peers.collect::<Vec<_>>(), "bytes": hex(self.bytes()), "text": self.text(),
        })
    }
}

/// Header, flags, fields and checksum.
fn sealed(version: u8, flags: u8, fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fields.len() + 8).expect("vectors are short");
    let mut bytes = [&[version], length.to_le_bytes().as_slice(), &[flags], fields].concat();
    let checksum = blake3::hash(&bytes);
    bytes.extend(&checksum.as_bytes()[..4]);
    bytes
}

fn text(bytes: &[u8]) -> String {
    format!("starling:{}", BASE32_NOPAD.encode(bytes))
}

fn invite() -> Invite {
    let peers = vec![
        (0, 7_828, vec![192, 0, 2, 7], "peer a"),
        (3, 40_000, vec![0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], "peer b"),
    ];
    Invite { one_time_key: Some(7), expiry_hour: 481_470, name: "Ana", peers }
}

fn add_text(v: &mut Vectors, comment: &str, text: &str, invite: &Invite) {
    let bytes = invite.bytes();
    let steps = json!({ "checksum": hex(&bytes[bytes.len() - 4..]) });
    v.valid(comment, json!({ "text": text }), steps, invite.expect());
}

fn add_valid(v: &mut Vectors) {
    let invite = invite();
    let good = invite.text();
    add_text(v, "one-time key, two peers", &good, &invite);
    let address = Invite { one_time_key: None, expiry_hour: u32::MAX, name: "", peers: vec![] };
    add_text(v, "an address: the shortest of all", &address.text(), &address);
    let v4 = |seed| (1, 1, vec![10, 0, 0, 1], seed);
    let longest = Invite {
        name: "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        peers: vec![v4("p1"), v4("p2"), v4("p3")],
        one_time_key: Some(u64::MAX >> 11),
        ..invite.clone()
    };
    add_text(v, "a name of 24 bytes, three peers", &longest.text(), &longest);
    let shapes = [
        ("lower case", good.to_lowercase()),
        ("upper case, as a QR code has it", good.to_uppercase()),
        ("in quotes, with a line break at the end", format!("\"{good}\"\r\n")),
        ("in angle brackets and typographic quotes", format!("\u{201C}<{good}>\u{201D}")),
        ("quoted in a mail, cut into lines", format!("> {}\n> {}\n>> {}", &good[..40], &good[40..77], &good[77..])),
        ("spaces inside, one of them unbreakable", format!("{} {}\u{a0}{}", &good[..5], &good[5..60], &good[60..])),
        ("a zero-width space, a byte order mark", format!("\u{feff}{}\u{200b}{}", &good[..100], &good[100..])),
    ];
    for (comment, text) in shapes {
        add_text(v, comment, &text, &invite);
    }
}

fn add_damaged(v: &mut Vectors, good: &str) {
    let text_of = |text: &str| json!({ "text": text });
    let not = "not_an_invite";
    v.invalid("empty", not, text_of(""));
    v.invalid("something else", not, text_of("hello"));
    v.invalid("another scheme", not, text_of("https://example.org/starling"));
    v.invalid("base32 alone", not, text_of(&good[9..]));
    v.invalid("far too long", not, text_of(&format!("{good}{}", " ".repeat(8_192))));
    let cut = |characters: usize, arrived: usize, expected: Option<usize>| json!({ "text": good[..9 + characters], "arrived": arrived, "expected": expected });
    v.invalid("nothing after the prefix", "cut", cut(0, 0, None));
    v.invalid("no whole header", "cut", cut(4, 2, None));
    v.invalid("the header alone", "cut", cut(5, 3, Some(219)));
    v.invalid("half of it", "cut", cut(160, 100, Some(219)));
    v.invalid("the last character is missing", "cut", cut(350, 218, Some(219)));
    let swap = |at: usize, with: &str| json!({ "text": format!("{}{with}{}", &good[..at], &good[at + 1..]) });
    let other = |at: usize| if &good[at..=at] == "A" { "B" } else { "A" };
    for (comment, at) in [("version", 9), ("length", 11), ("length too", 13), ("name", 200), ("checksum", 356)] {
        v.invalid(&format!("a wrong character in the {comment}"), "mistyped", swap(at, other(at)));
    }
    v.invalid("a character that base32 does not have", "mistyped", swap(50, "8"));
    v.invalid("a character that no alphabet of ours has", "mistyped", swap(50, "\u{e9}"));
    // 351 characters carry 1,755 bits, three more than 219 bytes.
    let last =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".split_once(&good[good.len() - 1..]).map_or("", |(_, after)| &after[..1]);
    v.invalid("padding bits at the end are not zero", "mistyped", swap(good.len() - 1, last));
    v.invalid("two characters exchanged", "mistyped", {
        let (a, b) = (&good[100..101], &good[101..102]);
        assert_ne!(a, b);
        text_of(&format!("{}{b}{a}{}", &good[..100], &good[102..]))
    });
    v.invalid("some text under the prefix", "mistyped", text_of("starling:hello world"));
    v.invalid("a character more", "trailing", text_of(&format!("{good}A")));
    v.invalid("a full stop after it", "trailing", text_of(&format!("{good}.")));
    v.invalid("a sentence after it", "trailing", text_of(&format!("{good} see you!")));
    v.invalid("twice the same", "trailing", text_of(&format!("{good}\n{good}")));
}

fn add_wrong_contents(v: &mut Vectors) {
    let good = invite();
    let mut bad = |comment: &str, field: &str, bytes: &[u8]| {
        v.invalid(comment, "contents", json!({ "text": text(bytes), "field": field }));
    };
    bad("version 0", "version", &sealed(0, 1, &good.fields()));
    bad("a flag that does not exist", "flags", &sealed(1, 3, &good.fields()));
    bad("ends in the address", "length", &sealed(1, 0, &good.fields()[..60]));
    let peer = good.peers[0].clone();
    let long = Invite { peers: vec![peer.clone(); 5], ..good.clone() };
    bad("longer than 296 bytes", "length", &long.bytes());
    bad("one-time key 0", "one-time key", &Invite { one_time_key: Some(0), ..good.clone() }.bytes());
    let name = |name| Invite { name, ..good.clone() }.bytes();
    bad("a name of 25 bytes", "name", &name("aaaaaaaaaaaaaaaaaaaaaaaaa"));
    bad("a name with an escape sequence", "name", &name("\u{1b}[2J"));
    bad("a name that turns the writing direction", "name", &name("a\u{202e}b"));
    let nameless = Invite { name: "", peers: vec![], ..good.clone() };
    let mut fields = nameless.fields();
    *fields.last_mut().expect("fields are not empty") = 9;
    bad("a name longer than what is left", "name", &sealed(1, 1, &fields));
    fields.extend([0xFF; 9]);
    bad("a name that is not UTF-8", "name", &sealed(1, 1, &fields));
    let peer = |kind, port, ip: &[u8]| Invite { peers: vec![(kind, port, ip.to_vec(), "p")], ..good.clone() }.bytes();
    bad("a kind of peer that does not exist", "peers", &peer(4, 1, &[10, 0, 0, 1]));
    bad("port 0", "peers", &peer(0, 0, &[10, 0, 0, 1]));
    bad("no address", "peers", &peer(0, 1, &[0; 4]));
    bad("a multicast address", "peers", &peer(0, 1, &[224, 0, 0, 1]));
    bad("an IPv6 peer with an IPv4 address", "peers", &peer(2, 1, &[10, 0, 0, 1]));
    let cut = good.fields();
    bad("the last peer is cut", "peers", &sealed(1, 1, &cut[..cut.len() - 1]));
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("11.2", "invite");
    let v = &mut vectors;
    add_valid(v);
    add_damaged(v, &invite().text());
    for version in [2, 15, 255] {
        let newer = text(&sealed(version, 0x80, b"whatever a later version says"));
        v.invalid("undamaged, of a newer version", "newer_version", json!({ "text": newer, "version": version }));
    }
    let newer = text(&sealed(2, 0, b"whatever a later version says"));
    let arrived = json!({ "text": newer[..9 + 40], "arrived": 25, "expected": 37 });
    v.invalid("a newer version, cut", "cut", arrived);
    add_wrong_contents(v);
    vectors
}
