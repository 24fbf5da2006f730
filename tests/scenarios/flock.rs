//! A network of real nodes in which everybody knows everybody.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use starling_api::people::Contact;
use starling_testnet::introduce::{Contacts, introduce};
use starling_testnet::net::{Net, NetOptions};
use starling_testnet::talk::{Party, Sent};

/// Longest that anything may take; far more than it needs, so that a slow machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

static FLOCKS: AtomicU32 = AtomicU32::new(0);

/// The network. Its nodes end with it.
pub(crate) struct Flock {
    pub(crate) net: Option<Net>,
}

impl Flock {
    /// Starts `nodes` nodes and makes all of their people each other's contacts.
    pub(crate) fn of(nodes: usize) -> Self {
        let name = format!("story-{}-{}", std::process::id(), FLOCKS.fetch_add(1, Ordering::Relaxed));
        let binary = starling_testnet::binary::starling().expect("cargo build --workspace was run");
        let options = NetOptions { name, nodes, seed: 1, binary, names: Vec::new() };
        let mut net = Net::create(&options).unwrap();
        net.start_nodes(&options, |_| {}, || false).unwrap();
        introduce(&net, Contacts::All, &AtomicBool::new(false)).unwrap();
        Self { net: Some(net) }
    }

    pub(crate) fn net(&mut self) -> &mut Net {
        self.net.as_mut().expect("the net runs until the end")
    }

    pub(crate) fn name(&mut self, number: usize) -> String {
        self.net().node(number).unwrap().plan.name.clone()
    }

    pub(crate) fn party(&mut self, number: usize) -> Party {
        let plan = self.net().node(number).unwrap().plan.clone();
        Party::at(&plan.name, &plan.data()).unwrap()
    }

    /// How `from` knows `to`.
    pub(crate) fn contact(&mut self, from: usize, to: usize) -> Contact {
        let name = self.name(to);
        self.party(from).contact(&name).unwrap().expect("they were introduced")
    }

    /// Waits until the recipient has confirmed; where that fails, the message's life says why.
    #[track_caller]
    pub(crate) fn assert_delivered(&mut self, from: usize, message: &Sent) {
        let writer = self.party(from);
        if !writer.wait_delivered(message, DEADLINE).unwrap() {
            panic!("not delivered: {:#?}", writer.client().trace(message.id).unwrap());
        }
    }

    /// Ends the network and leaves nothing behind.
    pub(crate) fn down(mut self) {
        self.net.take().expect("the net runs until the end").down().unwrap();
    }
}
