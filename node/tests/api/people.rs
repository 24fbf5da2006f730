//! Invites and contacts: each fault of an invite has a code of its own, and words that say what to do.

use serde_json::{Value, json};
use starling_api::node::ChangeSettings;
use starling_api::people::{
    AddContact, ChangeContact, ContactState, CreateInvite, InspectInvite, InviteState, Scan, Verify,
};
use starling_api::{ClientError, Code};

use crate::harness::{Home, network};
use crate::http::{Api, client};

/// An invite of another account of `network`, whose node has gone.
fn invite_of_somebody(network: &str, name: &str) -> String {
    let home = Home::new();
    let _node = home.start(network);
    let client = client(&home);
    client.change_settings(&ChangeSettings { name: Some(name.to_owned()), ..ChangeSettings::default() }).unwrap();
    client.create_invite(&CreateInvite::default()).unwrap().link
}

fn add(api: &Api, link: &str) -> (u16, Value) {
    let answer = api.ask("POST /v1/contacts", &json!({ "link": link }).to_string());
    (answer.status, answer.json())
}

#[test]
fn the_faults_of_an_invite_are_told_apart() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let (api, client) = (Api::of(&home), client(&home));
    let link = invite_of_somebody(&name, "Ana");
    let other = invite_of_somebody(&format!("{name}-b"), "Zoe");
    let own = client.create_invite(&CreateInvite { for_name: Some("Bob".to_owned()), expires_s: None }).unwrap();
    assert_eq!((own.state, own.for_name.as_deref()), (InviteState::Open, Some("Bob")));
    assert!(own.link.starts_with("starling:") && own.bytes <= 296);

    let mistyped: String = {
        let mut letters: Vec<char> = link.chars().collect();
        let place = letters.len() / 2;
        letters[place] = if letters[place] == 'A' { 'B' } else { 'A' };
        letters.into_iter().collect()
    };
    let cut = &link[..link.len() - 40];
    let table = [
        ("hello", 400, "invite_damaged", "This is not an invite. An invite begins with 'starling:'."),
        (mistyped.as_str(), 400, "invite_damaged", "One or more characters are wrong. Copy it again."),
        (own.link.as_str(), 409, "own_invite", "This is your own invite. It is for somebody else."),
        (other.as_str(), 422, "wrong_network", &format!("It belongs to another network; this node is on '{name}'.")),
    ];
    for (text, status, code, message) in table {
        let (got, body) = add(&api, text);
        assert_eq!(
            (got, body["error"]["code"].as_str(), body["error"]["message"].as_str()),
            (status, Some(code), Some(message))
        );
    }
    let (status, body) = add(&api, cut);
    assert_eq!((status, &body["error"]["code"]), (400, &json!("invite_cut")));
    let (arrived, expected) = (&body["error"]["details"]["arrived_bytes"], &body["error"]["details"]["expected_bytes"]);
    assert_eq!(body["error"]["message"], format!("Invite is cut: {arrived} of {expected} bytes arrived."));

    // As mails mangle it: still good, once.
    let folded: Vec<&str> = link.as_bytes().chunks(40).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let (status, body) = add(&api, &format!("> \"{}\"", folded.join("\r\n> ")));
    assert_eq!(
        (status, &body["contact"]["name"], &body["contact"]["state"]),
        (201, &json!("Ana"), &json!("waiting_for_keys"))
    );
    let (status, body) = add(&api, &link);
    assert_eq!((status, &body["error"]["code"]), (410, &json!("invite_used")));
    assert!(body["error"]["message"].as_str().unwrap().starts_with("You used this invite on "), "{body}");
}

#[test]
fn an_invite_is_seen_before_it_is_used() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let link = invite_of_somebody(&name, "Ana");
    let inspect = |link: &str| client.inspect_invite(&InspectInvite { link: link.to_owned() });
    let seen = inspect(&link).unwrap();
    assert_eq!((seen.name.as_str(), seen.network.as_deref(), seen.this_network), ("Ana", Some(name.as_str()), true));
    assert!(seen.one_use && !seen.expired && !seen.own && seen.contact.is_none() && seen.expires.is_some());
    assert!(client.contacts().unwrap().contacts.is_empty(), "looking adds nobody");
    let own = client.id().unwrap();
    let seen = inspect(&own.link).unwrap();
    assert!(seen.own && !seen.one_use && seen.expires.is_none());
    let problem = |link: &str| inspect(link).unwrap().problem.map(|problem| problem.code);
    assert_eq!((problem(&link), problem(&own.link)), (None, Some(Code::OwnInvite)));
    let made = client.create_invite(&CreateInvite::default()).unwrap();
    assert_eq!(problem(&made.link), Some(Code::OwnInvite));
    client.revoke_invite(made.id).unwrap();
    assert_eq!(problem(&made.link), Some(Code::InviteRevoked));
    assert_eq!(problem(&invite_of_somebody(&format!("{name}-b"), "Zoe")), Some(Code::WrongNetwork));
    client.add_contact(&AddContact { link: link.clone(), name: None, replace: None }).unwrap();
    let seen = inspect(&link).unwrap();
    assert_eq!(seen.contact.unwrap().name, "Ana");
    let words = seen.problem.unwrap().message;
    assert!(words.starts_with("You used this invite on "), "as when it is used: {words}");
    assert!(matches!(inspect("starling:"), Err(ClientError::Api(error)) if error.code == Code::InviteCut));
}

#[test]
fn contacts_are_renamed_blocked_and_removed() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let add = |link: String, name: Option<&str>| {
        client.add_contact(&AddContact { link, name: name.map(str::to_owned), replace: None })
    };
    let ana = add(invite_of_somebody(&name, "Ana"), None).unwrap();
    let link = invite_of_somebody(&name, "Ana");
    let taken = add(link.clone(), Some("Ana")).unwrap_err();
    let ClientError::Api(error) = taken else { panic!("{taken:?}") };
    assert_eq!(error.code, Code::NameTaken);
    assert_eq!(error.message, "You know an Ana (never heard). Someone else, or Ana with a new account?");
    let zoe = add(link, Some("Zoe")).unwrap();
    assert_ne!(ana.id, zoe.id);

    let change = |name: Option<&str>, blocked| ChangeContact {
        name: name.map(str::to_owned),
        blocked,
        ..ChangeContact::default()
    };
    let renamed = client.change_contact(ana.id, &change(Some("Anna"), Some(true))).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.state), ("Anna", ContactState::Blocked));
    let send = starling_api::message::SendMessage { text: "hi".to_owned(), ..Default::default() };
    let blocked = client.send(renamed.conversation, &send).unwrap_err();
    assert!(matches!(blocked, ClientError::Api(error) if error.code == Code::ContactBlocked));
    let back = client.change_contact(ana.id, &change(None, Some(false))).unwrap();
    assert_eq!(back.state, ContactState::WaitingForKeys);
    let taken = client.change_contact(ana.id, &change(Some("Zoe"), None)).unwrap_err();
    assert!(matches!(taken, ClientError::Api(error) if error.code == Code::NameTaken));

    client.remove_contact(zoe.id).unwrap();
    let left = client.contacts().unwrap().contacts;
    assert_eq!(left.iter().map(|contact| contact.id).collect::<Vec<_>>(), [ana.id]);
    let gone = client.remove_contact(zoe.id).unwrap_err();
    assert!(matches!(gone, ClientError::Api(error) if error.code == Code::NoSuchContact));
}

#[test]
fn an_invite_that_is_withdrawn_stays_in_the_list_and_says_so() {
    let home = Home::new();
    let _node = home.start(&network());
    let client = client(&home);
    let invite =
        client.create_invite(&CreateInvite { for_name: Some("Bob".to_owned()), expires_s: Some(3_600) }).unwrap();
    client.revoke_invite(invite.id).unwrap();
    let invites = client.invites().unwrap().invites;
    assert_eq!(
        invites.iter().map(|invite| (invite.id, invite.state)).collect::<Vec<_>>(),
        [(invite.id, InviteState::Revoked)]
    );
}

#[test]
fn a_verification_is_read_set_and_dropped_and_a_code_that_is_none_is_refused() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let link = invite_of_somebody(&name, "Ana");
    let ana = client.add_contact(&AddContact { link, name: None, replace: None }).unwrap();
    let seen = client.verification(ana.id).unwrap();
    assert_eq!((seen.number.len(), seen.words.len(), seen.verified_at, seen.scan), (12, 8, None, None));
    let set = |verified| client.verify(ana.id, &Verify { verified: Some(verified), code: None }).unwrap();
    assert!(set(true).verified_at.is_some() && client.contacts().unwrap().contacts[0].verified_at.is_some());
    assert_eq!(set(false), seen);
    let own = client.verify(ana.id, &Verify { verified: None, code: Some(seen.code.to_lowercase()) }).unwrap();
    assert_eq!((own.scan, own.verified_at), (Some(Scan::Own), None));
    let refused = |verify: Verify| match client.verify(ana.id, &verify) {
        Err(ClientError::Api(error)) => (error.code, error.field),
        other => panic!("{other:?}"),
    };
    let code = |text: &str| Verify { verified: None, code: Some(text.to_owned()) };
    assert_eq!(refused(code("starling:ab")), (Code::BadRequest, Some("code".to_owned())));
    assert_eq!(refused(code("STARLING-VERIFY:AI")).0, Code::VersionTooNew);
    assert_eq!(refused(Verify::default()), (Code::BadRequest, Some("verified".to_owned())));
    assert_eq!(refused(Verify { verified: Some(true), ..code("x") }).0, Code::BadRequest);
    client.remove_contact(ana.id).unwrap();
    let gone = client.verification(ana.id).unwrap_err();
    assert!(matches!(gone, ClientError::Api(error) if error.code == Code::NoSuchContact));
}
