//! Nodes that are killed while messages are on their way.

use starling_testnet::talk::Sent;

use crate::flock::{DEADLINE, Flock};

/// A writer is killed the moment its node has taken a text, a reader while it may be reading one, and the
/// neighbour through which everybody joined for good. What was taken arrives, once and in order.
#[test]
fn what_was_accepted_survives_kills_on_both_sides() {
    const ROUNDS: usize = 4;
    let (founder, writer, reader) = (1, 2, 3);
    let mut flock = Flock::of(5);
    let there = flock.contact(writer, reader);
    let back = flock.contact(reader, writer);
    let mut texts = Vec::new();
    let mut sent: Vec<Sent> = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..3 {
            let text = format!("round {round}, text {number}");
            sent.push(flock.party(writer).send(&there, &text).unwrap());
            texts.push(text);
        }
        flock.net().kill(writer).unwrap();
        if round == 1 {
            flock.net().kill(founder).unwrap();
        }
        flock.net().kill(reader).unwrap();
        flock.net().restart(writer).unwrap();
        flock.net().restart(reader).unwrap();
    }
    for message in &sent {
        flock.assert_delivered(writer, message);
    }
    assert_eq!(flock.party(reader).received(&back).unwrap(), texts);
    flock.down();
}

/// The writer's node is gone before the reader's comes back: the others keep the mail.
#[test]
fn mail_waits_for_whoever_was_away_though_its_writer_left() {
    let (writer, reader) = (2, 3);
    let mut flock = Flock::of(5);
    let there = flock.contact(writer, reader);
    let back = flock.contact(reader, writer);
    flock.net().stop(reader).unwrap();
    let texts: Vec<String> = (0..5).map(|number| format!("while you were away, {number}")).collect();
    let sent: Vec<Sent> = texts.iter().map(|text| flock.party(writer).send(&there, text).unwrap()).collect();
    for message in &sent {
        let held = flock.party(writer).wait_stage(message, starling_testnet::talk::Stage::Held, DEADLINE).unwrap();
        assert!(held.is_some(), "{message:?}");
    }
    flock.net().kill(writer).unwrap();
    flock.net().restart(reader).unwrap();
    let reader = flock.party(reader);
    let inbox = reader.listen().unwrap();
    let already = reader.received(&back).unwrap();
    for text in texts.iter().filter(|text| !already.contains(text)) {
        assert!(inbox.wait_text(text, DEADLINE).is_some(), "{text} did not come");
    }
    assert_eq!(reader.received(&back).unwrap(), texts);
    flock.down();
}
