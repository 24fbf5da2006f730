//! Files: handed in, attached, read as they came; and what is refused.

use starling_api::file::{Attach, AttachmentKind, FILE_BYTES_MAX, Voice};
use starling_api::message::SendMessage;
use starling_api::people::{AddContact, Contact, CreateInvite};
use starling_api::{BlobId, Client, ClientError, Code};

use crate::harness::{Home, network};
use crate::http::{Answer, Api, client};

const CLIENT_ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
/// A photograph of 13,440 bytes, without notes.
const PHOTO: &[u8] = include_bytes!("../../src/picture/photo.jpg");

/// A node with a contact whose node has gone: what is sent to it waits.
struct Waiting {
    _home: Home,
    _node: crate::harness::Node,
    client: Client,
    api: Api,
    contact: Contact,
}

impl Waiting {
    fn new() -> Self {
        let (home, name) = (Home::new(), network());
        let node = home.start(&name);
        let client = client(&home);
        let other = Home::new();
        let other_node = other.start(&name);
        let link = crate::http::client(&other).create_invite(&CreateInvite::default()).unwrap().link;
        let contact = client.add_contact(&AddContact { link, name: Some("Ana".to_owned()), replace: None }).unwrap();
        drop(other_node);
        let api = Api::of(&home);
        Self { _home: home, _node: node, client, api, contact }
    }

    fn send(
        &self,
        attachments: Vec<Attach>,
        client_id: Option<&str>,
    ) -> Result<starling_api::message::Sent, ClientError> {
        let client_id = client_id.map(str::to_owned);
        self.client.send(self.contact.conversation, &SendMessage { attachments, client_id, ..SendMessage::default() })
    }

    fn blob(&self, id: BlobId) -> Answer {
        self.api.ask(&format!("GET /v1/blobs/{id}"), "")
    }
}

fn attach(blob: BlobId, name: &str) -> Attach {
    Attach { blob, name: name.to_owned(), voice: None }
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Code {
    match result {
        Err(ClientError::Api(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

/// Opus in Ogg, as far as anybody looks at it who does not play it.
fn opus() -> Vec<u8> {
    let mut bytes = b"OggS".to_vec();
    bytes.resize(28, 0);
    bytes.extend(b"OpusHead\x01\x01");
    bytes
}

/// A PNG that says it is so large.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 6, 0, 0, 0, 1, 2, 3, 4]);
    bytes.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

#[test]
fn a_file_is_what_its_bytes_are_and_nothing_of_it_runs() {
    let node = Waiting::new();
    let note = Some(Voice { duration_ms: 12_000, peaks: vec![1, 2, 3] });
    let page = b"<script>alert(1)</script>".to_vec();
    let (picture, file) = (AttachmentKind::Picture, AttachmentKind::File);
    for (bytes, name, voice, kind, media_type, shown) in [
        (PHOTO.to_vec(), "../../me.html", None, picture, "image/jpeg", "me.html"),
        (page, "me.html", None, file, "application/octet-stream", "me.html"),
        (png(30_000, 30_000), "bomb.png", None, file, "application/octet-stream", "bomb.png"),
        (png(64, 64), "ok.png", None, picture, "image/png", "ok.png"),
        (opus(), "", note.clone(), AttachmentKind::Voice, "audio/ogg", ""),
    ] {
        let blob = node.client.upload(bytes.clone()).unwrap();
        assert_eq!((blob.bytes as usize, blob.removed_bytes), (bytes.len(), 0));
        assert_eq!(blob.blake3.len(), 64);
        let attached = Attach { voice: voice.clone(), ..attach(blob.id, name) };
        let message = node.send(vec![attached], None).unwrap().message;
        let [told] = message.attachments.as_slice() else { panic!("{message:?}") };
        assert_eq!((told.kind, told.media_type.as_str(), told.name.as_str()), (kind, media_type, shown));
        assert_eq!((told.voice.clone(), message.text.as_deref()), (voice, Some("")));
        assert_eq!(told.width.is_some(), kind == picture);
        assert_eq!(node.client.file(told.id).unwrap(), bytes);
        let answer = node.blob(told.id);
        assert_eq!(answer.header("content-type").as_deref(), Some(media_type));
        assert_eq!(answer.header("content-disposition").as_deref(), Some("attachment"));
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
        assert!(answer.header("content-security-policy").unwrap().contains("sandbox"));
    }
}

#[test]
fn a_photo_s_notes_do_not_leave_this_computer() {
    let node = Waiting::new();
    let note = [&[0xFF, 0xFE, 0, 8], b"secret".as_slice()].concat();
    let noted = [&PHOTO[..2], &note, &PHOTO[2..]].concat();
    let blob = node.client.upload(noted).unwrap();
    assert_eq!((blob.bytes as usize, blob.removed_bytes), (PHOTO.len(), 10));
    let message = node.send(vec![attach(blob.id, "a.jpg")], None).unwrap().message;
    assert_eq!(node.client.file(message.attachments[0].id).unwrap(), PHOTO);
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let node = Waiting::new();
    assert_eq!(code(node.client.upload(Vec::new())), Code::BadRequest);
    assert!(node.client.upload(vec![7; FILE_BYTES_MAX]).is_ok());
    for bytes in [FILE_BYTES_MAX + 1, 600_000, 5 << 20] {
        assert_eq!(code(node.client.upload(vec![7; bytes])), Code::TooLarge, "{bytes}");
    }
    let Err(ClientError::Api(error)) = node.client.upload(vec![7; FILE_BYTES_MAX + 1]) else { panic!() };
    let details = error.details.unwrap();
    assert_eq!((details["limit_bytes"].as_u64(), details["bytes"].as_u64()), (Some(64_000), Some(64_001)));

    let blob = node.client.upload(vec![7; 10]).unwrap().id;
    assert_eq!(code(node.send(vec![attach(BlobId::new(5), "a")], None)), Code::NoSuchFile);
    assert_eq!(code(node.send(vec![attach(BlobId::new(5), "a")], Some(CLIENT_ID))), Code::NoSuchFile);
    assert_eq!(code(node.send(vec![attach(blob, "a"), attach(blob, "b")], None)), Code::BadRequest);
    for voice in [
        Voice { duration_ms: 5, peaks: Vec::new() },
        Voice { duration_ms: 30_001, peaks: Vec::new() },
        Voice { duration_ms: 5, peaks: vec![1; 65] },
    ] {
        let attached = Attach { voice: Some(voice), ..attach(blob, "a") };
        assert_eq!(code(node.send(vec![attached], None)), Code::BadRequest);
    }
    let text = "x".repeat(1_025);
    let long = SendMessage { text, attachments: vec![attach(blob, "a")], ..SendMessage::default() };
    assert_eq!(code(node.client.send(node.contact.conversation, &long)), Code::TooLarge);

    // What was refused is still there to be sent; what was sent is not, but for the one who asks again.
    let first = node.send(vec![attach(blob, "a")], Some(CLIENT_ID)).unwrap();
    let again = node.send(vec![attach(blob, "a")], Some(CLIENT_ID)).unwrap();
    assert_eq!((first.known, again.known, again.message.id), (false, true, first.message.id));
    assert_eq!(again.message.attachments, first.message.attachments);
    assert_eq!(code(node.send(vec![attach(blob, "a")], None)), Code::NoSuchFile);
    let edit = starling_api::message::EditMessage { text: "x".to_owned() };
    assert_eq!(code(node.client.edit(first.message.id, &edit)), Code::BadRequest);

    let text = SendMessage { text: "no file".to_owned(), ..SendMessage::default() };
    let text = node.client.send(node.contact.conversation, &text).unwrap().message;
    assert_eq!(code(node.client.file(BlobId::new(text.id.0))), Code::NoSuchFile);
    assert_eq!(code(node.client.file(BlobId::new(999))), Code::NoSuchFile);
    let file = first.message.attachments[0].id;
    node.client.delete_message(first.message.id, None).unwrap();
    assert_eq!(code(node.client.file(file)), Code::NoSuchFile);
}
