//! Invites: making, listing and withdrawing them, and every way in which one can be bad, told apart.

use data_encoding::BASE32_NOPAD;
use starling_wire::envelope::Epoch;
use starling_wire::invite::Invite;

use crate::harness::{Home, network};

fn bytes(link: &str) -> Vec<u8> {
    BASE32_NOPAD.decode(link.trim().strip_prefix("starling:").unwrap().to_ascii_uppercase().as_bytes()).unwrap()
}

fn link(bytes: &[u8]) -> String {
    format!("starling:{}", BASE32_NOPAD.encode(bytes).to_ascii_lowercase())
}

/// With the checksum that fits what stands before it.
fn sealed(mut bytes: Vec<u8>) -> String {
    let end = bytes.len() - 4;
    let checksum = blake3::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.as_bytes()[..4]);
    link(&bytes)
}

#[test]
fn an_invite_is_made_listed_and_withdrawn() {
    let home = Home::new();
    let _node = home.start(&network());
    home.run(&["id", "--name", "Ana"]).ok();
    let made = home.run(&["invite", "--for", "Bob"]);
    assert!(
        made.err
            .contains("For one person. Valid 7 days. Send it by a way you trust: whoever uses it first becomes 'Bob'."),
        "{made:?}"
    );
    assert!(made.err.contains("Others can reach this node directly."), "{made:?}");
    let printed = made.ok();
    assert!(printed.starts_with("starling:") && printed.lines().count() == 1, "a link and nothing else: {printed}");
    assert!(bytes(&printed).len() <= 296);

    let json = home.run(&["invite", "--expires", "2h", "--json"]).json();
    assert_eq!(json["for"], serde_json::Value::Null);
    assert_eq!(json["bytes"].as_u64().unwrap() as usize, bytes(json["link"].as_str().unwrap()).len());
    let qr = home.run(&["invite", "--qr"]).ok();
    assert!(qr.lines().count() > 20 && qr.lines().all(|line| line.chars().count() <= 600), "{qr}");
    home.run(&["invite", "--expires", "100w"]).fails(2, "");

    let list = home.run(&["invite", "list"]).ok();
    assert!(list.contains("  Bob  open until "), "{list}");
    let said = home.run(&["invite", "revoke", "Bob"]).ok();
    assert!(said.starts_with("Withdrawn: i_"), "{said}");
    assert!(home.run(&["invite", "list"]).ok().contains("  Bob  withdrawn"));
    home.run(&["invite", "revoke", "Zed"]).fails(5, "There is no invite 'Zed'.");
}

#[test]
fn every_way_in_which_an_invite_can_be_bad_is_told_apart() {
    let (ana, bob, name) = (Home::new(), Home::new(), network());
    let (_ana_node, _bob_node) = (ana.start(&name), bob.start(&name));
    ana.run(&["id", "--name", "Ana"]).ok();
    let good = ana.run(&["invite", "--for", "Bob"]).ok().trim().to_owned();
    let add = |text: &str| bob.run(&["add", text, "--wait", "none"]);

    let middle = good.len() / 2;
    let other = if &good[middle..=middle] == "a" { "b" } else { "a" };
    let mistyped = format!("{}{other}{}", &good[..middle], &good[middle + 1..]);
    add(&mistyped).fails(2, "One or more characters are wrong. Copy it again.");
    let whole = bytes(&good).len();
    let cut = add(&good[..good.len() - 80]).fails(2, "Invite is cut: ");
    assert!(cut.err.contains(&format!(" of {whole} bytes arrived.")), "{}", cut.err);
    assert_eq!(bob.run(&["--json", "add", &good[..good.len() - 80]]).error(2)["code"], "invite_cut");
    add("hello there").fails(2, "This is not an invite.");
    bob.pipe(&["add"], "").fails(2, "There is no invite.");

    let mut expired = Invite::decode(&bytes(&good)).unwrap();
    expired.expiry = Epoch(1);
    let expired = link(&expired.encode().unwrap());
    add(&expired).fails(5, "expired");
    assert_eq!(bob.run(&["--json", "add", &expired]).error(5)["code"], "invite_expired");

    let mut newer = bytes(&good);
    newer[0] = 2;
    add(&sealed(newer)).fails(10, "newer Starling");

    let (carol, elsewhere) = (Home::new(), network());
    let _carol_node = carol.start(&elsewhere);
    let foreign = carol.run(&["invite"]).ok();
    let done = add(foreign.trim()).fails(5, "network");
    assert!(done.err.contains(&format!("this node is on '{name}'")), "{}", done.err);

    assert_eq!(ana.run(&["--json", "add", &good]).error(5)["code"], "own_invite");
    add(&good).ok();
    let used = bob.run(&["--json", "add", &good]);
    let error = used.error(5);
    assert_eq!(error["code"], "invite_used", "{error}");
    assert!(error["message"].as_str().unwrap().contains("You used this invite on "), "{error}");
    let withdrawn = ana.run(&["invite", "--for", "Zoe"]).ok().trim().to_owned();
    ana.run(&["invite", "revoke", "Zoe"]).ok();
    assert_eq!(ana.run(&["--json", "add", &withdrawn]).error(5)["code"], "invite_revoked");
    ana.run(&["add", &withdrawn]).fails(5, "You withdrew this invite: it lets nobody in any more.");
}
