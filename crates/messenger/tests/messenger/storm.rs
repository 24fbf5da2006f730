//! Seeded disorder: links come and go, nodes die at any point and come back, publications find nobody, cells are
//! refused, while everybody writes. At the end everything has arrived once. (The big simulator is in the package
//! `tests`; this one is quick enough to run at every change.)

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use starling_messenger::turn::{Command, ContactNumber, Input, Reply, RequestId};

use crate::net::{Crash, Net};

const NODES: usize = 5;
const PAIRS: [(usize, usize); 4] = [(0, 1), (1, 2), (2, 0), (3, 0)];

struct Storm {
    net: Net,
    dice: ChaCha20Rng,
    /// Contact of the second by the first.
    contacts: Vec<((usize, usize), ContactNumber)>,
    /// Accepted texts: from, to, text.
    sent: Vec<(usize, usize, String)>,
    requests: u64,
}

impl Storm {
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn node(&mut self) -> usize {
        usize::try_from(self.roll(NODES as u64)).unwrap()
    }

    fn new(seed: u64) -> Self {
        let mut net = Net::new(NODES);
        net.link_all();
        net.run(500);
        let mut storm =
            Self { net, dice: ChaCha20Rng::seed_from_u64(seed), contacts: vec![], sent: vec![], requests: 1 << 40 };
        for (inviter, guest) in PAIRS {
            let invite = storm.net.invite(inviter, Some(&format!("node{guest}")));
            let contact = storm.net.add(guest, invite).unwrap();
            storm.contacts.push(((guest, inviter), contact));
        }
        storm
    }

    /// The inviter's side appears with the first contact.
    fn learn_contacts(&mut self) {
        for (inviter, guest) in PAIRS {
            if self.net.is_down(inviter) || self.contacts.iter().any(|(pair, _)| *pair == (inviter, guest)) {
                continue;
            }
            let Some(Reply::Contacts(views)) = self.ask(inviter, Command::Contacts) else { continue };
            if let Some(view) = views.iter().find(|view| view.name == format!("node{guest}")) {
                self.contacts.push(((inviter, guest), view.number));
            }
        }
    }

    fn ask(&mut self, node: usize, command: Command) -> Option<Reply> {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.net.step(node, Input::Command { id, command });
        self.net.nodes[node].replies.remove(&id)
    }

    fn write(&mut self) {
        let choice = usize::try_from(self.roll(self.contacts.len() as u64)).unwrap();
        let ((from, to), contact) = self.contacts[choice];
        let text = format!("{from}>{to}:{}", self.sent.len());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(self.sent.len() as u64 + 1).to_le_bytes());
        let command = Command::Send {
            contact,
            text: text.clone(),
            file: None,
            reply_to: None,
            client_id: Some(id),
            expires_s: None,
        };
        // The caller asks until it is answered, also by a node that died over the first question.
        for _ in 0..3 {
            if let Some(Reply::Message { .. }) = self.ask(from, command.clone()) {
                self.sent.push((from, to, text));
                return;
            }
            self.revive(from);
        }
        panic!("never answered");
    }

    fn revive(&mut self, node: usize) {
        if self.net.is_down(node) {
            let keep_pool = self.roll(4) > 0;
            self.net.restart(node, keep_pool);
            for other in (0..NODES).filter(|&other| other != node) {
                if self.roll(3) > 0 {
                    self.net.link(node, other);
                }
            }
        }
    }

    fn disturb(&mut self) {
        let (a, b) = (self.node(), self.node());
        match self.roll(12) {
            0 if a != b => self.net.cut(a, b),
            1 | 2 if a != b && !self.net.is_down(a) && !self.net.is_down(b) => {
                self.net.cut(a, b);
                self.net.link(a, b);
            }
            3 => self.net.nodes[a].refuses_cells = !self.net.nodes[a].refuses_cells,
            4 => self.net.publish_lost = !self.net.publish_lost,
            5 if !self.net.is_down(a) => {
                let crash = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs][a % 3];
                let nth = u32::try_from(self.roll(6)).unwrap() + 1;
                self.net.crash_at(a, nth, crash);
            }
            6 => self.revive(a),
            _ => self.write(),
        }
    }

    fn calm(&mut self) {
        self.net.publish_lost = false;
        for node in 0..NODES {
            self.net.disarm(node);
            self.net.nodes[node].refuses_cells = false;
            self.revive(node);
            self.net.isolate(node);
        }
        self.net.link_all();
    }
}

fn run(seed: u64) {
    let mut storm = Storm::new(seed);
    for _ in 0..160 {
        storm.learn_contacts();
        storm.disturb();
        let wait_ms = storm.roll(120);
        storm.net.run(wait_ms);
    }
    storm.calm();
    storm.net.run(40_000);
    // What the disturbed hour lost is sealed again after two.
    storm.net.sleep_hours(3);
    storm.net.run(30_000);
    for node in 0..NODES {
        let mut got = storm.net.received(node);
        let mut want: Vec<String> =
            storm.sent.iter().filter(|(_, to, _)| *to == node).map(|(.., text)| text.clone()).collect();
        got.sort();
        want.sort();
        assert_eq!(got, want, "seed {seed}, node {node}");
        let Reply::Status(status) = storm.net.command(node, Command::Status) else { panic!() };
        assert_eq!((status.outbox_queued, status.outbox_undelivered), (0, 0), "seed {seed}, node {node}");
        let memory = storm.net.nodes[node].messenger.as_ref().unwrap().memory_use();
        assert_eq!((memory.jobs, memory.found, memory.late_tags), (0, 0, 0), "seed {seed}, node {node}");
    }
    storm.net.check();
}

#[test]
fn nothing_is_lost_or_shown_twice_in_a_storm() {
    let seeds = std::env::var("STORM_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(4);
    (1..=seeds).for_each(run);
}
