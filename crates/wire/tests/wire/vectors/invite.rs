//! Invites.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use starling_wire::envelope::Epoch;
use starling_wire::invite::{Invite, InviteError, InvitePeer, InvitePeerKind, OneTimeKey};
use starling_wire::network::NetworkParameters;

use super::{array, bytes, check, number};

fn expected(expect: &Value) -> Invite {
    let key = |key: &Value| OneTimeKey { id: number(&key["id"]), public: array(&key["public"]) };
    Invite {
        network: Invite::network_prefix(&NetworkParameters::main().id()),
        account: array(&expect["account"]),
        address: array(&expect["address"]),
        shard: number(&expect["shard"]),
        one_time_key: Some(&expect["one_time_key"]).filter(|key| key.is_object()).map(key),
        expiry: Epoch(number(&expect["expiry_hour"])),
        name: expect["name"].as_str().unwrap().to_owned(),
        peers: expect["peers"].as_array().unwrap().iter().map(peer).collect(),
    }
}

fn peer(peer: &Value) -> InvitePeer {
    let ip = bytes(&peer["ip"]);
    let kind = match peer["kind"].as_str().unwrap() {
        "tcp" => InvitePeerKind::Tcp,
        kind => {
            assert_eq!(kind, "quic");
            InvitePeerKind::Quic
        }
    };
    let ip = match <[u8; 4]>::try_from(ip.as_slice()) {
        Ok(ip) => IpAddr::from(Ipv4Addr::from(ip)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(ip).unwrap())),
    };
    InvitePeer { kind, ip, port: number(&peer["port"]), node_key: array(&peer["node_key"]) }
}

/// The name of a kind of damage; what the error says about it is held against the case.
fn reason(error: InviteError, input: &Value) -> &'static str {
    match error {
        InviteError::NotAnInvite => "not_an_invite",
        InviteError::Cut { arrived, expected } => {
            assert_eq!(arrived, number::<usize>(&input["arrived"]), "{input}");
            assert_eq!(expected.map(|expected| expected as u64), input["expected"].as_u64(), "{input}");
            "cut"
        }
        InviteError::Mistyped => "mistyped",
        InviteError::Trailing => "trailing",
        InviteError::NewerVersion { version } => {
            assert_eq!(version, number::<u8>(&input["version"]), "{input}");
            "newer_version"
        }
        InviteError::Contents { field } => {
            assert_eq!(field, input["field"], "{input}");
            "contents"
        }
    }
}

#[test]
fn invites() {
    let reasons = ["not_an_invite", "cut", "mistyped", "trailing", "newer_version", "contents"];
    check("invite", &reasons, |case| {
        let invite = Invite::parse(case.input["text"].as_str().unwrap()).map_err(|error| reason(error, &case.input))?;
        assert_eq!(invite, expected(&case.expect), "{}", case.id);
        let encoded = bytes(&case.expect["bytes"]);
        assert_eq!(encoded[encoded.len() - 4..], bytes(&case.steps["checksum"]));
        assert_eq!(invite.encode().as_ref(), Ok(&encoded));
        assert_eq!(Invite::decode(&encoded).as_ref(), Ok(&invite));
        assert_eq!(invite.to_text().unwrap(), case.expect["text"]);
        assert!(invite.is_for(&NetworkParameters::main().id()));
        Ok(())
    });
}
