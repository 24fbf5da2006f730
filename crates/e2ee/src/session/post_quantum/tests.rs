//! The state machine by itself: two ends without a session around them.

use ml_kem::kem::{Decapsulate, KeyExport};
use sha2::{Digest, Sha256};

use super::*;
use crate::tests::world::{NOW_MS, Scripted, rng};

const SID: [u8; 32] = [0x51; 32];

fn sid() -> Secret<32> {
    Secret::new(SID)
}

fn stored(end: &PostQuantum) -> String {
    serde_json::to_string(end).expect("it encodes")
}

impl PostQuantum {
    /// A replier that takes `mixed_in` for the secret of the next epoch.
    pub(in crate::session) fn force_pending(&mut self, mixed_in: Secret<32>) {
        self.stage = Stage::Pending { mixed_in, ciphertext: Box::new([0; KEM_CIPHERTEXT_BYTES]) };
    }
}

/// A record as it would travel.
enum Sent {
    Key(u32, Box<[u8; KEM_PUBLIC_BYTES]>),
    Ciphertext(u32, Box<[u8; KEM_CIPHERTEXT_BYTES]>),
}

impl Sent {
    fn record(&self) -> KemRecord<'_> {
        match self {
            Self::Key(epoch, key) => KemRecord::Key { epoch: *epoch, key },
            Self::Ciphertext(epoch, ciphertext) => KemRecord::Ciphertext { epoch: *epoch, ciphertext },
        }
    }
}

/// Seals a message with room, with `seed` as the randomness if any is drawn.
fn seal(end: &mut PostQuantum, seed: &[u8]) -> Option<Sent> {
    end.prepare(&sid(), NOW_MS, &mut Scripted::new(seed));
    let sent = end.record().map(|record| match record {
        KemRecord::Key { epoch, key } => Sent::Key(epoch, Box::new(*key)),
        KemRecord::Ciphertext { epoch, ciphertext } => Sent::Ciphertext(epoch, Box::new(*ciphertext)),
    });
    end.sealed(sent.is_some().then_some(NOW_MS));
    sent
}

fn open(end: &mut PostQuantum, sent: Option<&Sent>) {
    let records: Vec<_> = sent.map(Sent::record).into_iter().collect();
    end.opened(&records, &sid(), NOW_MS);
}

fn ends() -> [PostQuantum; 2] {
    [PostQuantum::new(Role::Initiator, NOW_MS), PostQuantum::new(Role::Responder, NOW_MS)]
}

/// Both ends as if 16 messages had gone from one to the other.
fn after_16_messages() -> [PostQuantum; 2] {
    let mut ends = ends();
    ends.iter_mut().for_each(|end| (0..16).for_each(|_| end.sealed(None)));
    ends
}

/// The requester has asked, and the replier answered; the answer is on its way.
fn answered() -> ([PostQuantum; 2], Sent, Sent) {
    let [mut requester, mut replier] = after_16_messages();
    let key = seal(&mut requester, &[7; 64]).expect("it asks");
    open(&mut replier, Some(&key));
    let ciphertext = seal(&mut replier, &[8; 32]).expect("it answers");
    ([requester, replier], key, ciphertext)
}

#[test]
fn the_sides_take_turns_and_mix_in_what_a_second_implementation_computes() {
    let mut ends = ends();
    for epoch in 1..=5_u32 {
        let [initiator, responder] = &mut ends;
        let (requester, replier) = if epoch % 2 == 1 { (initiator, responder) } else { (responder, initiator) };
        let (seed, randomness) = ([epoch as u8; 64], [0x80 + epoch as u8; 32]);
        for _ in 0..16 {
            assert!(seal(requester, &[]).is_none() && seal(replier, &[]).is_none());
            requester.messages = requester.messages.min(15);
        }
        requester.messages = 16;
        let key = seal(requester, &seed).expect("it asks");
        open(replier, Some(&key));
        let ciphertext = seal(replier, &randomness).expect("it answers");
        open(requester, Some(&ciphertext));

        let theirs = ml_kem::DecapsulationKey768::from_seed(seed.into());
        let their_key = theirs.encapsulation_key().to_bytes();
        let (their_ciphertext, shared) = theirs.encapsulation_key().encapsulate_deterministic(&randomness.into());
        assert_eq!(theirs.decapsulate(&their_ciphertext), shared);
        let expected = Sha256::new()
            .chain_update(b"starling/1 pq\0")
            .chain_update(SID)
            .chain_update(epoch.to_le_bytes())
            .chain_update(Sha256::digest(their_key))
            .chain_update(Sha256::digest(their_ciphertext))
            .chain_update(shared)
            .finalize();

        let (named, mixed_in) = requester.to_send().expect("ready");
        assert_eq!((named, mixed_in.as_bytes().as_slice()), (epoch, expected.as_slice()));
        let at_replier = replier.to_receive(epoch).expect("pending").expect("mixed in");
        assert_eq!(at_replier.as_bytes().as_slice(), expected.as_slice());
        requester.mixed(epoch, NOW_MS);
        replier.mixed(epoch, NOW_MS);
        assert_eq!((requester.epoch(), replier.epoch()), (epoch, epoch));
    }
}

#[test]
fn the_requester_asks_after_16_messages_or_a_day_and_not_before() {
    let [mut initiator, mut responder] = ends();
    for count in 0..16 {
        assert_eq!(initiator.record_bytes(NOW_MS), 0);
        if count % 2 == 0 {
            assert!(seal(&mut initiator, &[]).is_none(), "message {count}");
        } else {
            open(&mut initiator, None);
        }
        open(&mut responder, None);
    }
    assert_eq!(initiator.record_bytes(NOW_MS), 1_191);
    assert!(matches!(seal(&mut initiator, &[1; 64]), Some(Sent::Key(1, _))));
    assert!(seal(&mut responder, &[]).is_none(), "the other side only answers");

    let [mut initiator, mut responder] = ends();
    assert_eq!(initiator.record_bytes(NOW_MS + 86_399_999), 0);
    assert_eq!((initiator.record_bytes(NOW_MS + 86_400_000), responder.record_bytes(u64::MAX)), (1_191, 0));
    initiator.prepare(&sid(), NOW_MS + 86_400_000, &mut Scripted::new(&[1; 64]));
    responder.prepare(&sid(), u64::MAX, &mut Scripted::new(&[]));
    assert!(initiator.record().is_some() && responder.record().is_none());
}

#[test]
fn a_record_is_the_same_bytes_until_it_is_answered() {
    let ([mut requester, mut replier], key, ciphertext) = answered();
    for _ in 0..3 {
        let (again_key, again_ciphertext) = (seal(&mut requester, &[]), seal(&mut replier, &[]));
        assert!(again_key.expect("not answered yet").record() == key.record());
        assert!(again_ciphertext.expect("not answered yet").record() == ciphertext.record());
    }
    open(&mut requester, Some(&ciphertext));
    assert!(seal(&mut requester, &[]).is_none(), "answered");
    replier.mixed(1, NOW_MS);
    assert!(seal(&mut replier, &[]).is_none(), "mixed in");
}

#[test]
fn the_replier_encapsulates_once_and_with_its_next_message() {
    let [mut requester, mut replier] = after_16_messages();
    let key = seal(&mut requester, &[7; 64]).expect("it asks");
    open(&mut replier, Some(&key));
    assert_eq!(replier.record_bytes(NOW_MS), 1_095);
    assert!(replier.record().is_none() && replier.to_receive(1).is_none(), "nobody can know the secret yet");
    let before = stored(&replier);
    open(&mut replier, Some(&key));
    replier.messages -= 1;
    assert_eq!(before, stored(&replier));
    assert!(seal(&mut replier, &[8; 32]).is_some());
    assert!(seal(&mut replier, &[]).is_some(), "nothing is drawn again");
}

#[test]
fn records_of_another_epoch_repeated_ones_and_those_of_the_wrong_side_change_nothing() {
    let ([asked, pending], key, ciphertext) = answered();
    let [idle, wait] = after_16_messages();
    let other_key = Sent::Key(1, Box::new(*KemSecret::generate(&mut rng(9)).0.public()));
    let mut ready: PostQuantum = serde_json::from_str(&stored(&asked)).expect("it decodes");
    open(&mut ready, Some(&ciphertext));
    let (Sent::Key(_, key_bytes), Sent::Ciphertext(_, ciphertext_bytes)) = (&key, &ciphertext) else { unreachable!() };
    let of_epoch = |epoch| [Sent::Key(epoch, key_bytes.clone()), Sent::Ciphertext(epoch, ciphertext_bytes.clone())];
    let others: Vec<Sent> = [0, 2, 3, u32::MAX].into_iter().flat_map(of_epoch).collect();
    for (name, end, ignored) in [
        ("Idle", &idle, vec![&key, &ciphertext]),
        ("Wait", &wait, vec![&ciphertext]),
        ("Asked", &asked, vec![&key, &other_key]),
        ("Ready", &ready, vec![&key, &ciphertext]),
        ("Pending", &pending, vec![&key, &other_key, &ciphertext]),
    ] {
        for sent in others.iter().chain(ignored) {
            let mut end: PostQuantum = serde_json::from_str(&stored(end)).expect("it decodes");
            let before = stored(&end);
            open(&mut end, Some(sent));
            end.messages -= 1;
            assert_eq!(before, stored(&end), "{name}");
        }
    }
}

#[test]
fn a_key_that_fails_its_check_is_ignored_and_the_genuine_one_taken() {
    let [mut requester, mut replier] = after_16_messages();
    let key = seal(&mut requester, &[7; 64]).expect("it asks");
    let Sent::Key(_, bytes) = &key else { unreachable!() };
    let mut beyond = bytes.clone();
    (beyond[0], beyond[1]) = (0xff, beyond[1] | 0x0f);
    open(&mut replier, Some(&Sent::Key(1, beyond)));
    open(&mut replier, Some(&Sent::Key(1, Box::new([0xff; KEM_PUBLIC_BYTES]))));
    assert!(seal(&mut replier, &[]).is_none());
    open(&mut replier, Some(&key));
    assert!(seal(&mut replier, &[8; 32]).is_some());
}

#[test]
fn an_epoch_is_mixed_in_only_by_a_replier_that_has_it_pending() {
    let ([mut requester, pending], key, ciphertext) = answered();
    let [idle, mut told] = after_16_messages();
    open(&mut told, Some(&key));
    for epoch in [1, 2, u32::MAX] {
        for end in [&idle, &told, &requester] {
            assert!(end.to_receive(epoch).is_none());
        }
        assert_eq!(pending.to_receive(epoch).is_some(), epoch == 1);
    }
    open(&mut requester, Some(&ciphertext));
    assert!(requester.to_receive(1).is_none(), "its own epoch is for its own step");
    assert!(pending.to_send().is_none());
    for end in [&idle, &told, &requester, &pending] {
        assert!(matches!(end.to_receive(0), Some(None)), "a step without an epoch is always allowed");
    }
}

#[test]
fn a_record_without_room_for_50_own_messages_or_7_days_deserves_its_own() {
    const WEEK_MS: u64 = 7 * 86_400_000;
    let ([mut requester, mut replier], _, _) = answered();
    for end in [&mut requester, &mut replier] {
        assert!(!end.is_overdue(NOW_MS + 10 * WEEK_MS), "nothing is written, so nothing was crowded out");
        for _ in 0..49 {
            end.sealed(None);
            assert!(!end.is_overdue(NOW_MS + WEEK_MS - 1));
        }
        assert!(end.is_overdue(NOW_MS + WEEK_MS));
        end.sealed(None);
        assert!(end.is_overdue(NOW_MS));
        end.sealed(Some(NOW_MS + 5));
        assert!(!end.is_overdue(NOW_MS + WEEK_MS + 5));
        end.sealed(None);
        assert!(end.is_overdue(NOW_MS + WEEK_MS + 5) && !end.is_overdue(NOW_MS + WEEK_MS + 4));
    }
    let [mut idle, _] = after_16_messages();
    (0..100).for_each(|_| idle.sealed(None));
    assert!(!idle.is_overdue(u64::MAX), "no record, nothing to send");
}

#[test]
fn no_secret_outlives_its_epoch() {
    let ([mut requester, mut replier], _, ciphertext) = answered();
    let text = |bytes: &[u8]| serde_json::to_string(bytes).expect("it encodes").trim_matches(['[', ']']).to_owned();
    let Stage::Asked { secret } = &requester.stage else { unreachable!("it has asked") };
    let secret = text(&secret.expanded()[..64]);
    let mixed_in = text(replier.to_receive(1).expect("pending").expect("mixed in").as_bytes());
    assert!(stored(&requester).contains(&secret) && stored(&replier).contains(&mixed_in));
    open(&mut requester, Some(&ciphertext));
    assert!(!stored(&requester).contains(&secret) && stored(&requester).contains(&mixed_in));
    requester.mixed(1, NOW_MS);
    replier.mixed(1, NOW_MS);
    assert!(!stored(&requester).contains(&mixed_in) && !stored(&replier).contains(&mixed_in));
}

#[test]
fn the_last_epoch_is_the_end_of_asking() {
    let [mut initiator, mut responder] = ends();
    for end in [&mut initiator, &mut responder] {
        end.mixed(u32::MAX, NOW_MS);
        (0..16).for_each(|_| end.sealed(None));
        assert!(seal(end, &[]).is_none());
        assert_eq!(end.record_bytes(u64::MAX), 0);
    }
}
