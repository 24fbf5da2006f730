//! Properties of every encoder and decoder: what goes in comes out, and no bytes do harm.

use std::net::IpAddr;

use ed25519_dalek::SigningKey;
use proptest::collection::vec;
use proptest::prelude::*;
use starling_wire::codec;
use starling_wire::descriptor::{DescriptorError, NodeDescriptor};
use starling_wire::envelope::{Class, Envelope, Epoch, EpochRange, Head, Tag, TopicId};
use starling_wire::frame::FrameError;
use starling_wire::invite::{Invite, InviteError, InvitePeer, InvitePeerKind, OneTimeKey};
use starling_wire::limits::{INVITE_BYTES_MAX, LINK_OTHERS_MAX, SYNC_BODIES_BYTES_MAX, SYNC_PULL_MAX};
use starling_wire::link_frame::{Hold, HoldFull, HoldOk, LinkFrame, LinkFrameReader, RefusalReason};
use starling_wire::push_cell::{CellError, ExitPlaintext, GuardPlaintext, exit_layer_bytes};
use starling_wire::sync_frame::{Body, ByeReason, SyncFrame, SyncFrameReader, SyncHello, SyncId};
use starling_wire::{descriptor, envelope, invite, link_frame, push_cell, sync_frame};

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Small), Just(Class::Large)]
}

fn topic() -> impl Strategy<Value = TopicId> {
    (any::<u32>(), 0u8..=27).prop_map(|(shard, bits)| TopicId::of_shard(shard, bits).unwrap())
}

fn head() -> impl Strategy<Value = Head> {
    (class(), topic(), any::<u32>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
        |(class, topic, epoch, tag, ephemeral)| Head { class, topic, epoch: Epoch(epoch), tag: Tag(tag), ephemeral },
    )
}

fn envelope_of() -> impl Strategy<Value = Envelope> {
    (head(), any::<[u8; 24]>(), any::<u32>(), any::<u8>()).prop_map(|(head, stamp, effort, filler)| {
        Envelope::assemble(&head, &stamp, effort, &vec![filler; head.class.body_bytes()]).unwrap()
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<[u8; 20]>().prop_map(|id| Body::Absent(SyncId(id))),
        envelope_of().prop_map(|envelope| Body::Envelope(envelope.as_bytes().into())),
    ]
}

fn sync_frame() -> impl Strategy<Value = SyncFrame> {
    let hello = (any::<[u8; 16]>(), any::<u32>(), any::<[u32; 2]>(), any::<u64>());
    prop_oneof![
        hello.prop_map(|(salt, oldest, mut window, unix_ms)| {
            window.sort_unstable();
            let window = EpochRange { first: Epoch(window[0]), last: Epoch(window[1]) };
            SyncFrame::Hello(SyncHello { salt, oldest_hour: Epoch(oldest), window, unix_ms })
        }),
        vec(any::<u8>(), 1..600).prop_map(SyncFrame::Negentropy),
        vec(any::<[u8; 20]>().prop_map(SyncId), 1..=SYNC_PULL_MAX).prop_map(SyncFrame::Pull),
        vec(body(), 1..6).prop_map(SyncFrame::Bodies),
        any::<u8>().prop_map(|reason| SyncFrame::Bye(ByeReason(reason))),
    ]
}

fn node_descriptor() -> impl Strategy<Value = NodeDescriptor> {
    let addresses = vec(vec(any::<u8>(), 1..=128), 1..=8);
    (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>(), addresses).prop_map(|(secret, onion, expiry, addresses)| {
        NodeDescriptor::sign(&SigningKey::from_bytes(&secret), onion, expiry, &addresses).unwrap()
    })
}

fn link_frame() -> impl Strategy<Value = LinkFrame> {
    let descriptors = |max: usize| vec(node_descriptor(), 0..=max);
    prop_oneof![
        (any::<[u8; 32]>(), any::<u64>(), node_descriptor(), descriptors(4)).prop_map(
            |(parameters_hash, unix_ms, descriptor, others)| {
                LinkFrame::Hold(Hold { parameters_hash, unix_ms, descriptor, others })
            }
        ),
        (any::<u64>(), node_descriptor(), descriptors(4))
            .prop_map(|(unix_ms, descriptor, others)| LinkFrame::Ok(HoldOk { unix_ms, descriptor, others })),
        (any::<u64>(), descriptors(8)).prop_map(|(unix_ms, others)| LinkFrame::Full(HoldFull { unix_ms, others })),
        any::<u8>().prop_map(|reason| LinkFrame::Refused(RefusalReason(reason))),
    ]
}

fn peer() -> impl Strategy<Value = InvitePeer> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (any::<bool>(), ip, 1u16.., any::<[u8; 32]>())
        .prop_filter("an address of one node", |(_, ip, ..)| !ip.is_unspecified() && !ip.is_multicast())
        .prop_map(|(tcp, ip, port, node_key)| {
            let kind = if tcp { InvitePeerKind::Tcp } else { InvitePeerKind::Quic };
            InvitePeer { kind, ip, port, node_key }
        })
}

fn invite_of() -> impl Strategy<Value = Invite> {
    let key = proptest::option::of((1u64.., any::<[u8; 32]>()));
    let keys = (any::<[u8; 5]>(), any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u32>());
    (keys, key, any::<u32>(), "[a-zé漢 ]{0,8}", vec(peer(), 0..6)).prop_map(
        |((network, account, address, shard), key, expiry, name, peers)| Invite {
            network,
            account,
            address,
            shard,
            one_time_key: key.map(|(id, public)| OneTimeKey { id, public }),
            expiry: Epoch(expiry),
            name: Invite::short_name(&name).to_owned(),
            peers,
        },
    )
}

/// Feeds `bytes` to `read` in pieces of the given sizes, again and again, until they are all taken.
fn in_pieces<F>(bytes: &[u8], pieces: &[usize], mut read: impl FnMut(&mut &[u8]) -> Option<F>) -> Vec<F> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    for size in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut piece, later) = rest.split_at((*size).min(rest.len()));
        while let Some(frame) = read(&mut piece) {
            frames.push(frame);
        }
        assert!(piece.is_empty(), "a reader takes all of its input");
        rest = later;
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_envelope_reads_as_it_was_written(head in head(), stamp in any::<[u8; 24]>(), effort in any::<u32>(), filler in any::<u8>()) {
        let body = vec![filler; head.class.body_bytes()];
        let envelope = Envelope::assemble(&head, &stamp, effort, &body).unwrap();
        let read = Envelope::parse(envelope.as_bytes()).unwrap();
        prop_assert_eq!((read.head(), read.stamp(), read.effort(), read.body()), (head, stamp, effort, body.as_slice()));
        prop_assert_eq!(read.id().0, *blake3::hash(envelope.as_bytes()).as_bytes());
    }

    #[test]
    fn a_flipped_bit_never_keeps_the_id(envelope in envelope_of(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = envelope.as_bytes().to_vec();
        bytes[at.index(envelope.as_bytes().len())] ^= 1 << bit;
        if let Ok(read) = Envelope::parse(bytes) {
            prop_assert_ne!(read.id(), envelope.id());
        }
    }

    #[test]
    fn sync_frames_come_out_of_any_pieces(frames in vec(sync_frame(), 1..5), pieces in vec(1usize..5_000, 1..8)) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        let mut reader = SyncFrameReader::new();
        prop_assert_eq!(in_pieces(&bytes, &pieces, |piece| reader.read(piece).unwrap()), frames);
        prop_assert!(reader.is_between_frames());
    }

    #[test]
    fn link_frames_come_out_of_any_pieces(frames in vec(link_frame(), 1..4), pieces in vec(1usize..2_000, 1..8)) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        let mut reader = LinkFrameReader::new();
        prop_assert_eq!(in_pieces(&bytes, &pieces, |piece| reader.read(piece).unwrap()), frames);
        prop_assert!(reader.is_between_frames());
    }

    #[test]
    fn reading_exactly_what_is_missing_finds_the_frame(frame in sync_frame()) {
        let bytes = frame.encode().unwrap();
        let (mut reader, mut rest, mut found) = (SyncFrameReader::new(), bytes.as_slice(), None);
        while found.is_none() {
            let missing = reader.missing_bytes();
            prop_assert!((1..=rest.len()).contains(&missing), "{missing} of {}", rest.len());
            let (mut piece, later) = rest.split_at(missing);
            rest = later;
            found = reader.read(&mut piece).unwrap();
        }
        prop_assert_eq!(found, Some(frame));
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_cut_frame_is_not_a_frame(sync in sync_frame(), link in link_frame(), at in any::<prop::sample::Index>()) {
        let bytes = sync.encode().unwrap();
        prop_assert_eq!(SyncFrame::decode(&bytes[..at.index(bytes.len())]), Err(FrameError::NotOneFrame));
        let bytes = link.encode().unwrap();
        prop_assert_eq!(LinkFrame::decode(&bytes[..at.index(bytes.len())]), Err(FrameError::NotOneFrame));
    }

    #[test]
    fn a_frame_with_a_flipped_bit_is_another_frame_or_none(sync in sync_frame(), link in link_frame(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = sync.encode().unwrap();
        let changed = at.index(bytes.len());
        bytes[changed] ^= 1 << bit;
        prop_assert_ne!(SyncFrame::decode(&bytes), Ok(sync));
        let mut bytes = link.encode().unwrap();
        let changed = at.index(bytes.len());
        bytes[changed] ^= 1 << bit;
        prop_assert_ne!(LinkFrame::decode(&bytes), Ok(link));
    }

    #[test]
    fn a_descriptor_verifies_until_any_bit_changes(descriptor in node_descriptor(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let now = descriptor.expiry_unix_s().saturating_sub(1);
        prop_assume!(descriptor.expiry_unix_s() > 0);
        prop_assert!(descriptor.verify(now).is_ok());
        let mut bytes = descriptor.as_bytes().to_vec();
        bytes[at.index(descriptor.as_bytes().len())] ^= 1 << bit;
        let refused = match NodeDescriptor::parse(&bytes) {
            Ok(changed) => changed.verify(now).is_err(),
            Err(_) => true,
        };
        prop_assert!(refused);
    }

    #[test]
    fn a_cut_descriptor_is_cut(descriptor in node_descriptor(), at in any::<prop::sample::Index>()) {
        let bytes = descriptor.as_bytes();
        prop_assert_eq!(NodeDescriptor::parse(&bytes[..at.index(bytes.len())]), Err(DescriptorError::Length));
    }

    #[test]
    fn plaintexts_of_cells_read_as_they_were_written(class in class(), filler in any::<u8>(), node_key in any::<[u8; 32]>()) {
        let publish = ExitPlaintext::Publish(vec![filler; class.envelope_bytes()].into());
        for plaintext in [publish, ExitPlaintext::Drop] {
            let bytes = plaintext.encode(class).unwrap();
            prop_assert_eq!(ExitPlaintext::decode(&bytes, class), Ok(plaintext));
            let cut = bytes.len() - 1;
            prop_assert_eq!(ExitPlaintext::decode(&bytes[..cut], class), Err(CellError::Length { bytes: cut }));
        }
        let forward = GuardPlaintext { node_key, exit_layer: vec![filler; exit_layer_bytes(class)].into() };
        prop_assert_eq!(GuardPlaintext::decode(&forward.encode(class).unwrap(), class), Ok(forward));
    }

    #[test]
    fn an_invite_reads_as_it_was_written_but_for_peers_without_room(invite in invite_of()) {
        let bytes = invite.encode().unwrap();
        prop_assert!(bytes.len() <= INVITE_BYTES_MAX);
        let read = Invite::decode(&bytes).unwrap();
        prop_assert_eq!(Invite::parse(&invite.to_text().unwrap()), Ok(read.clone()));
        // The peers that were left out are those that no longer fit, and all others are there in order.
        let mut expected = invite.clone();
        let mut room = INVITE_BYTES_MAX - Invite { peers: Vec::new(), ..invite.clone() }.encode().unwrap().len();
        expected.peers.retain(|peer| {
            let fits = peer.encoded_bytes() <= room;
            room -= if fits { peer.encoded_bytes() } else { 0 };
            fits
        });
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_cut_invite_says_how_much_arrived(invite in invite_of(), at in any::<prop::sample::Index>()) {
        let text = invite.to_text().unwrap();
        let expected = invite.encode().unwrap().len();
        let kept = "starling:".len() + at.index(text.len() - "starling:".len());
        let arrived = (kept - "starling:".len()) * 5 / 8;
        let expected = (arrived >= 3).then_some(expected);
        prop_assert_eq!(Invite::parse(&text[..kept]), Err(InviteError::Cut { arrived, expected }));
    }

    #[test]
    fn one_wrong_character_is_called_so(invite in invite_of(), at in any::<prop::sample::Index>(), with in "[A-Z2-7]") {
        let text = invite.to_text().unwrap();
        let at = "starling:".len() + at.index(text.len() - "starling:".len());
        prop_assume!(text[at..=at] != with);
        let wrong = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        prop_assert_eq!(Invite::parse(&wrong), Err(InviteError::Mistyped));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..3_000)) {
        envelope::fuzz(&bytes);
        sync_frame::fuzz(&bytes);
        link_frame::fuzz(&bytes);
        push_cell::fuzz(&bytes);
        descriptor::fuzz(&bytes);
        invite::fuzz(&bytes);
        codec::fuzz(&bytes);
    }

    #[test]
    fn no_text_after_the_prefix_does_harm(text in ".{0,600}", base32 in "[A-Z2-7]{0,520}") {
        invite::fuzz(format!("starling:{text}").as_bytes());
        invite::fuzz(format!("starling:{base32}").as_bytes());
    }
}

#[test]
fn an_envelope_is_refused_at_every_shorter_length() {
    let head = Head { class: Class::Small, topic: TopicId(0), epoch: Epoch(1), tag: Tag([2; 16]), ephemeral: [3; 32] };
    let envelope = Envelope::assemble(&head, &[4; 24], 5, &[6; 1_962]).unwrap();
    for length in 0..envelope.as_bytes().len() {
        assert!(Envelope::parse(&envelope.as_bytes()[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_descriptor_is_refused_at_every_shorter_length_and_an_invite_too() {
    let descriptor = NodeDescriptor::sign(&SigningKey::from_bytes(&[1; 32]), [2; 32], 3, &[[4; 11], [5; 11]]).unwrap();
    for length in 0..descriptor.as_bytes().len() {
        assert_eq!(NodeDescriptor::parse(&descriptor.as_bytes()[..length]), Err(DescriptorError::Length), "{length}");
    }
    let peer = InvitePeer { kind: InvitePeerKind::Quic, ip: [127, 0, 0, 1].into(), port: 1, node_key: [6; 32] };
    let invite = Invite {
        network: [7; 5],
        account: [8; 32],
        address: [9; 32],
        shard: 10,
        one_time_key: None,
        expiry: invite::NEVER,
        name: "Ana".to_owned(),
        peers: vec![peer],
    };
    let bytes = invite.encode().unwrap();
    for length in 0..bytes.len() {
        assert!(matches!(Invite::decode(&bytes[..length]), Err(InviteError::Cut { arrived, .. }) if arrived == length));
    }
}

#[test]
fn what_a_peer_would_refuse_is_not_encoded() {
    let absent = Body::Absent(SyncId([0; 20]));
    let large = Body::Envelope([&[1, 1], [0; 16_382].as_slice()].concat().into());
    let over = vec![large; SYNC_BODIES_BYTES_MAX / 16_384 + 1];
    let window = EpochRange { first: Epoch(2), last: Epoch(1) };
    let frames = [
        SyncFrame::Hello(SyncHello { salt: [0; 16], oldest_hour: Epoch(0), window, unix_ms: 0 }),
        SyncFrame::Negentropy(vec![]),
        SyncFrame::Negentropy(vec![0; 65_537]),
        SyncFrame::Pull(vec![]),
        SyncFrame::Pull(vec![SyncId([0; 20]); SYNC_PULL_MAX + 1]),
        SyncFrame::Bodies(vec![]),
        SyncFrame::Bodies(vec![absent; SYNC_PULL_MAX + 1]),
        SyncFrame::Bodies(over),
        SyncFrame::Bodies(vec![Body::Envelope([1, 0].as_slice().into())]),
    ];
    for frame in frames {
        assert!(frame.encode().is_err());
    }
    let descriptor = NodeDescriptor::sign(&SigningKey::from_bytes(&[1; 32]), [2; 32], 3, &[[4]]).unwrap();
    let others = vec![descriptor.clone(); LINK_OTHERS_MAX + 1];
    let ok = HoldOk { unix_ms: 0, descriptor: descriptor.clone(), others: others.clone() };
    assert!(LinkFrame::Ok(ok).encode().is_err());
    assert!(LinkFrame::Hold(Hold { parameters_hash: [0; 32], unix_ms: 0, descriptor, others }).encode().is_err());
}
