//! The event stream: resumed from any number, across kill -9, without a gap and without a repetition.

use std::sync::atomic::{AtomicBool, Ordering};

use starling_api::people::CreateInvite;
use starling_api::{ClientError, Code, Event, EventBody, EventType};

use crate::harness::{DEADLINE, Home, network};
use crate::http::client;

/// Events that are seen before each kill.
const SEEN_BEFORE_KILL: usize = 12;

#[test]
fn events_go_on_after_kill_9_without_gap_or_repetition() {
    let home = Home::new();
    let name = network();
    let mut seen: Vec<Event> = Vec::new();
    for _ in 0..3 {
        let node = home.start(&name);
        let since = seen.last().map_or(0, |event| event.seq);
        let mut events = client(&home).events(Some(since), &[], Some(DEADLINE)).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Writes under way at the kill: each is there after it or not, and no event tells otherwise.
            scope.spawn(|| {
                let client = client(&home);
                let create = || client.create_invite(&CreateInvite::default()).is_ok();
                while !over.load(Ordering::Relaxed) {
                    if !create() {
                        break;
                    }
                }
            });
            seen.extend(events.by_ref().take(SEEN_BEFORE_KILL).map(|line| line.unwrap().event));
            node.kill();
            over.store(true, Ordering::Relaxed);
        });
        // What was written before the kill may still arrive; then the stream breaks, and does not end.
        loop {
            match events.next() {
                Some(Ok(line)) => seen.push(line.event),
                Some(Err(ClientError::Disconnected(_))) => break,
                other => panic!("{other:?}"),
            }
        }
    }
    let numbers: Vec<u64> = seen.iter().map(|event| event.seq).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "no gap, nothing twice");

    // Nothing was announced that a crash undid: the log still has each event as it was told, and each invite.
    let _node = home.start(&name);
    let client = client(&home);
    let again: Vec<Event> =
        client.events(Some(0), &[], Some(DEADLINE)).unwrap().take(seen.len()).map(|line| line.unwrap().event).collect();
    assert_eq!(again, seen);
    let kept = client.invites().unwrap().invites;
    for event in &seen {
        if let EventBody::InviteCreated(invite) = &event.body {
            assert!(kept.iter().any(|kept| kept.id == invite.id), "{} was announced and is gone", invite.id);
        }
    }
}

#[test]
fn a_reader_follows_what_happens_and_sees_the_end() {
    let home = Home::new();
    let _node = home.start(&network());
    let client = client(&home);
    let seq = client.seq().unwrap();
    let types = [EventType::InviteCreated, EventType::NodeState];
    let mut events = client.events(seq, &types, Some(DEADLINE)).unwrap();
    let first = client.create_invite(&CreateInvite::default()).unwrap();
    client.revoke_invite(first.id).unwrap();
    let second = client.create_invite(&CreateInvite::default()).unwrap();
    let mut created = Vec::new();
    while created.len() < 2 {
        if let EventBody::InviteCreated(invite) = events.next().unwrap().unwrap().event.body {
            created.push(invite.id);
        }
    }
    assert_eq!(created, [first.id, second.id], "those of other types are left out");
    client.stop().unwrap();
    let last: Vec<String> = events.map(|line| line.unwrap().text).collect();
    assert!(last.last().is_some_and(|line| line.contains(r#""state":"stopping""#)), "{last:?}");
}

#[test]
fn a_number_that_the_log_does_not_have_is_a_gap() {
    let home = Home::new();
    let _node = home.start(&network());
    let client = client(&home);
    client.create_invite(&CreateInvite::default()).unwrap();
    let newest = client.seq().unwrap().unwrap();
    // Of another log, e.g. of a data directory that was replaced.
    let mut events = client.events(Some(newest + 1_000_000), &[EventType::InviteCreated], Some(DEADLINE)).unwrap();
    let gap = events.next().unwrap().unwrap().event;
    let EventBody::EventsGap(data) = &gap.body else { panic!("{gap:?}") };
    assert!(data.oldest > newest && gap.seq == data.oldest - 1, "{gap:?}");
    let invite = client.create_invite(&CreateInvite::default()).unwrap();
    let next = events.next().unwrap().unwrap().event;
    assert!(next.seq >= data.oldest);
    assert!(matches!(next.body, EventBody::InviteCreated(created) if created.id == invite.id));
}

#[test]
fn streams_are_ndjson_and_have_a_limited_number_of_places() {
    let home = Home::new();
    let _node = home.start(&network());
    let client = client(&home);
    let mut streams = Vec::new();
    let refused = loop {
        match client.events(Some(0), &[], Some(DEADLINE)) {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, ClientError::Api(error) if error.code == Code::SlowDown));
    assert_eq!(streams.len(), 64);
    // They hold up nobody else.
    client.create_invite(&CreateInvite::default()).unwrap();
    for stream in &mut streams {
        assert!(stream.any(|line| line.unwrap().event.body.event_type() == Some(EventType::InviteCreated)));
    }
}
