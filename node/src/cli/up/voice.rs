//! What `starling up` says while it runs: the text of the first journey, or with `--json` a `ready` line and a line
//! for every change of state. A reader that has gone does not stop the node.
//!
//! ```text
//! {"v":1,"event":"ready","version":"0.1.0","network":"main","data":"/home/ana/...","url":"http://127.0.0.1:7827",
//!  "pid":4121,"state":"joining","peer":"12D3...","addresses":["/ip4/127.0.0.1/udp/7828/quic-v1/p2p/12D3..."]}
//! {"v":1,"event":"state","state":"online","peers":3}
//! {"v":1,"event":"stopped","waiting":0}
//! ```
//! While a node is locked, its `ready` line has no peer and no addresses.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::terminal::{Paint, Terminal};
use crate::cli::{clean, counted, hints};
use crate::core::handle::{NetworkView, NodeState, Protection, Tried};

/// What is known before the node opens its vault.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Network name.
    pub(crate) network: String,
    /// Data directory.
    pub(crate) data: PathBuf,
    /// Nothing was in it before.
    pub(crate) new: bool,
    /// `http://127.0.0.1:7827`
    pub(crate) api: String,
}

/// The node's voice on this terminal.
#[derive(Debug)]
pub(crate) struct Voice {
    terminal: Terminal,
    header: Header,
    ready_said: bool,
    last_state: Option<NodeState>,
    last_problem: Option<String>,
}

/// As the API names it.
fn name(state: NodeState) -> &'static str {
    match state {
        NodeState::Starting => "starting",
        NodeState::Locked => "locked",
        NodeState::Joining => "joining",
        NodeState::Alone => "alone",
        NodeState::Online => "online",
        NodeState::Stopping => "stopping",
    }
}

/// What somebody sees who knows nobody yet; who knows some sees less.
fn first_steps(tried: Tried, protection: Protection) -> Vec<String> {
    let known = tried.known();
    let looking = match (known, tried.mdns) {
        (0, true) => "   looking on this network...".to_owned(),
        (0, false) => String::new(),
        (known, _) => format!("   asking {}...", counted(u64::from(known), "known node")),
    };
    let mut lines = vec![format!("Peers   0{looking}")];
    if known == 0 {
        let by_itself = if tried.mdns { "found by itself" } else { "not looked for: mDNS is off" };
        lines.push("You are not connected to anyone yet. Starling has no servers. Three ways in:".to_owned());
        lines.push(format!("  an invite from a friend    {}", hints::ADD));
        lines.push(format!("  someone on this network    {by_itself}"));
        lines.push(format!("  an address you know        {}", hints::PEERS_ADD));
    }
    if protection == Protection::Keyfile {
        let unprotected = "Not protected by a passphrase: anyone with this disk can read your messages.";
        lines.push(format!("{unprotected} {}", hints::PASSPHRASE));
    }
    lines
}

/// What somebody sees who stays alone.
fn what_was_tried(tried: Tried) -> String {
    format!("Tried: {}.", tried.words())
}

impl Voice {
    /// A voice that has said nothing yet.
    pub(crate) fn new(terminal: Terminal, header: Header) -> Self {
        Self { terminal, header, ready_said: false, last_state: None, last_problem: None }
    }

    fn say(&self, text: &str) {
        if !self.terminal.json && !self.terminal.quiet {
            let _ = self.terminal.line(text);
        }
    }

    fn say_object(&self, object: &serde_json::Value) {
        if self.terminal.json {
            let _ = self.terminal.object(object);
        }
    }

    /// The first lines, before the vault is open. `page`: a one-use link.
    pub(crate) fn header(&self, page: Option<&str>) {
        let Header { network, data, new, api } = &self.header;
        self.say(&format!("Starling {}  network {network}", env!("CARGO_PKG_VERSION")));
        let data = clean::line(&data.display().to_string());
        self.say(&format!("Data    {data}{}", if *new { "  (new)" } else { "" }));
        match page {
            // The code goes to a person's screen and into no file.
            Some(link) if self.terminal.rewrites => {
                self.say(&format!("Page    {link}      one use, 10 minutes; later: {}", hints::OPEN));
            }
            _ => self.say(&format!("Page    {api}      to sign in: {}", hints::OPEN)),
        }
    }

    /// The node runs, locked or not: told once, to programs only. An open node is ready when it knows where it
    /// listens.
    pub(crate) fn ready(&mut self, state: NodeState, network: Option<&NetworkView>) {
        let listening = network.is_some_and(|view| !view.addresses.is_empty());
        if self.ready_said || !(state == NodeState::Locked || listening) {
            return;
        }
        self.ready_said = true;
        self.say_object(&json!({
            "v": 1,
            "event": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "network": self.header.network,
            "data": self.header.data,
            "url": self.header.api,
            "pid": std::process::id(),
            "state": name(state),
            "peer": network.map(|view| view.peer.clone()),
            "addresses": network.map(|view| view.addresses.clone()).unwrap_or_default(),
        }));
    }

    /// The state, if it is another one than was told last.
    pub(crate) fn state(&mut self, state: NodeState, network: Option<&NetworkView>, protection: Protection) {
        // The state is told a moment before what is known of the network: this comes again with it.
        if network.is_none() && matches!(state, NodeState::Joining | NodeState::Alone) {
            return;
        }
        let before = self.last_state.replace(state);
        if before == Some(state) {
            return;
        }
        let peers = network.map_or(0, |view| view.connected);
        tracing::info!(state = name(state), peers, "state");
        self.say_object(&json!({ "v": 1, "event": "state", "state": name(state), "peers": peers }));
        match state {
            NodeState::Locked => self.say(&format!("Locked  waiting for its passphrase: {}", hints::UNLOCK)),
            NodeState::Joining if matches!(before, None | Some(NodeState::Starting | NodeState::Locked)) => {
                let tried = network.map(|view| view.tried).unwrap_or_default();
                first_steps(tried, protection).iter().for_each(|line| self.say(line));
            }
            NodeState::Joining => self.say("No peers any more. Looking again..."),
            NodeState::Alone => self.say(&what_was_tried(network.map(|view| view.tried).unwrap_or_default())),
            NodeState::Online => {
                let online = self.terminal.paint(Paint::Good, "Online");
                self.say(&format!("{online}  {}", counted(u64::from(peers), "peer")));
            }
            NodeState::Starting | NodeState::Stopping => {}
        }
    }

    /// Something about the network that a person must know, once for each.
    pub(crate) fn problem(&mut self, problem: Option<&str>) {
        if problem != self.last_problem.as_deref() {
            self.last_problem = problem.map(str::to_owned);
            if let Some(problem) = problem {
                self.terminal.note(&format!("! {}", clean::line(problem)));
            }
        }
    }

    /// Messages that an earlier run left.
    pub(crate) fn recovered(&self, messages: u32) {
        if messages > 0 {
            let were = if messages == 1 { "was waiting and is" } else { "were waiting and are" };
            self.say(&format!("Recovered: {} {were} sent again.", counted(u64::from(messages), "message")));
        }
    }

    /// Leaving begins.
    pub(crate) fn stopping(&self) {
        if !self.terminal.json && !self.terminal.quiet {
            let _ = self.terminal.part("Stopping...");
        }
    }

    /// Everything is on the disk.
    pub(crate) fn stopped(&self, waiting: u64) {
        self.say(&format!(" saved. {} waiting.", counted(waiting, "message")));
        self.say_object(&json!({ "v": 1, "event": "stopped", "waiting": waiting }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_reads_as_specified() {
        let nobody = Tried { mdns: true, remembered: 0, invited: 0, named: 0 };
        assert_eq!(
            first_steps(nobody, Protection::Keyfile),
            [
                "Peers   0   looking on this network...",
                "You are not connected to anyone yet. Starling has no servers. Three ways in:",
                "  an invite from a friend    starling add <invite>",
                "  someone on this network    found by itself",
                "  an address you know        starling peers add <address>",
                "Not protected by a passphrase: anyone with this disk can read your messages. starling passphrase",
            ]
        );
        assert_eq!(what_was_tried(nobody), "Tried: this network (mDNS), 0 remembered peers, 0 invites.");
    }

    #[test]
    fn who_knows_somebody_and_is_protected_reads_less() {
        let some = Tried { mdns: true, remembered: 1, invited: 1, named: 1 };
        assert_eq!(first_steps(some, Protection::Passphrase), ["Peers   0   asking 3 known nodes..."]);
        assert_eq!(
            what_was_tried(some),
            "Tried: this network (mDNS), 1 remembered peer, 1 invite, 1 node that you named."
        );
    }
}
