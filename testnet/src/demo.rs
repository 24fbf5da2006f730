//! The demo: a network from its first process to the loss of its founder, measured. Nothing in it is
//! scripted: each step waits for what the nodes themselves report, and fails when it does not come.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};

use crate::net::{Net, NetOptions};
use crate::process::resident_bytes;
use crate::search::{Needle, search};
use crate::talk::{Inbox, Party, Stage, health};

/// Fewest nodes with which every step means something: the founder, two who talk, and a stranger.
pub const NODES_MIN: usize = 4;
/// Messages whose delay is measured, beside the first.
const ROUND_MESSAGES: usize = 20;
/// Messages sent while their recipient is away.
const OFFLINE_MESSAGES: usize = 5;
/// How long a step may wait for one thing.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a state without events is asked for.
const POLL: Duration = Duration::from_millis(5);

const FOUNDER: usize = 1;
const ALICE: usize = 2;
const BOB: usize = 3;

/// A step that ran, or could not.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Whether what it claims held.
    pub ok: bool,
    /// How long it took, ms.
    pub ms: u64,
    /// Its figures.
    pub figures: Map<String, Value>,
    /// For people.
    pub text: String,
}

/// What the whole run showed.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Whether every step held.
    pub ok: bool,
    /// From the first process's start to the first message at its recipient, ms.
    pub start_to_first_delivery_ms: u64,
    /// Messages sent.
    pub sent: usize,
    /// Messages that reached their recipients.
    pub delivered: usize,
    /// Messages that a recipient shows more than once.
    pub duplicates: usize,
    /// Figures of the step `offline`.
    pub offline: Value,
    /// Figures of the step `founder`.
    pub founder: Value,
    /// Figures of the step `sealed`.
    pub sealed: Value,
    /// Delay from send to the recipient's event, ms, of all messages to a recipient that was there.
    pub delays: Delays,
    /// From the call that sends an answer, while the confirmation of what it answers is on its way.
    pub answers: Delays,
    /// Largest resident memory of a node seen, bytes.
    pub rss_bytes_max: u64,
}

/// Delays of messages, ms.
#[derive(Debug, Clone, Default)]
pub struct Delays(pub Vec<f64>);

impl Delays {
    /// The delay that `percent` of the messages did not exceed, ms.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let mut delays = self.0.clone();
        delays.sort_by(f64::total_cmp);
        let index = (delays.len().saturating_sub(1) * percent).div_ceil(100);
        delays.get(index).copied().unwrap_or(f64::NAN)
    }

    /// Median and 95th percentile, as the JSON output has them.
    pub fn figures(&self) -> Value {
        json!({ "p50_ms": rounded(self.percentile_ms(50)), "p95_ms": rounded(self.percentile_ms(95)) })
    }
}

/// A demo under way.
pub struct Demo<'a> {
    net: Net,
    options: NetOptions,
    interrupted: &'a AtomicBool,
    since: Instant,
    summary: Summary,
    secrets: Vec<(String, Vec<u8>)>,
}

impl<'a> Demo<'a> {
    /// Prepares a demo; no node runs yet.
    ///
    /// # Errors
    /// When there are too few nodes or the net's folder cannot be made.
    pub fn new(mut options: NetOptions, interrupted: &'a AtomicBool) -> anyhow::Result<Self> {
        ensure!(options.nodes >= NODES_MIN, "the demo needs at least {NODES_MIN} nodes");
        options.names = vec!["founder".to_owned(), "alice".to_owned(), "bob".to_owned()];
        let others = (4..=options.nodes).map(|number| format!("node-{number}"));
        options.names.extend(others);
        let net = Net::create(&options)?;
        Ok(Self { net, options, interrupted, since: Instant::now(), summary: Summary::default(), secrets: Vec::new() })
    }

    /// Runs all steps; `report` hears of each as it ends. The net goes on running.
    ///
    /// # Errors
    /// When interrupted. A step that fails ends the run with `ok` false.
    pub fn run(mut self, report: &mut dyn FnMut(&Step)) -> anyhow::Result<(Net, Summary)> {
        type Run<'a> = fn(&mut Demo<'a>) -> anyhow::Result<(Value, String)>;
        let steps: [(&'static str, Run<'a>); 7] = [
            ("start", Self::start),
            ("find", Self::find),
            ("first", Self::first),
            ("round", Self::round),
            ("sealed", Self::sealed),
            ("offline", Self::offline),
            ("founder", Self::founder),
        ];
        self.summary.ok = true;
        for (name, run) in steps {
            let since = Instant::now();
            let result = run(&mut self);
            let ms = millis(since.elapsed());
            if self.interrupted.load(Ordering::SeqCst) {
                let _ = self.net.down();
                bail!("interrupted");
            }
            let ok = result.is_ok();
            let (figures, text) = result.unwrap_or_else(|error| (json!({}), format!("FAILED: {error:#}")));
            let figures = figures.as_object().cloned().unwrap_or_default();
            report(&Step { name, ok, ms, figures, text });
            self.note_memory();
            if !ok {
                self.summary.ok = false;
                break;
            }
        }
        Ok((self.net, self.summary))
    }

    fn note_memory(&mut self) {
        let largest = self.net.running().filter_map(|node| resident_bytes(node.ready.pid)).max().unwrap_or(0);
        self.summary.rss_bytes_max = self.summary.rss_bytes_max.max(largest);
    }

    fn party(&self, number: usize) -> anyhow::Result<Party> {
        let plan = &self.net.node(number)?.plan;
        Party::at(&plan.name, &plan.data())
    }

    /// Waits until `holds` says yes, or fails with what was waited for.
    fn wait(&self, what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if self.interrupted.load(Ordering::SeqCst) {
                bail!("interrupted");
            }
            if holds()? {
                return Ok(());
            }
            ensure!(since.elapsed() < DEADLINE, "{what} did not come within {DEADLINE:?}");
            std::thread::sleep(POLL);
        }
    }

    fn wait_online(&self, number: usize) -> anyhow::Result<()> {
        let data = self.net.node(number)?.plan.data();
        self.wait("a neighbour", || Ok(health(&data)?.state == "online"))
    }

    /// All processes run, each knows one address (the founder none), and each has a neighbour.
    fn start(&mut self) -> anyhow::Result<(Value, String)> {
        self.since = Instant::now();
        let interrupted = self.interrupted;
        self.net.start_nodes(&self.options, |_| {}, || interrupted.load(Ordering::SeqCst))?;
        for number in 1..=self.options.nodes {
            self.wait_online(number)?;
        }
        self.net.set_ready()?;
        let nodes = self.options.nodes;
        Ok((json!({ "nodes": nodes }), format!("{nodes} nodes online, one known address each")))
    }

    /// Every node has found peers that nobody told it of.
    fn find(&mut self) -> anyhow::Result<(Value, String)> {
        let founder = self.net.node(FOUNDER)?.ready.peer.clone();
        let mut fewest = usize::MAX;
        for number in 2..=self.options.nodes {
            let party = self.party(number)?;
            let mut found = 0;
            self.wait("a peer that nobody named", || {
                found = party.held_peers()?.iter().filter(|peer| **peer != founder).count();
                Ok(found > 0)
            })?;
            fewest = fewest.min(found);
        }
        let text = "every node found its shard through the DHT, beyond the one address it knew".to_owned();
        Ok((json!({ "fewest_found": fewest }), text))
    }

    /// The first message, from an invite to the recipient's event.
    fn first(&mut self) -> anyhow::Result<(Value, String)> {
        let (alice, bob) = (self.party(ALICE)?, self.party(BOB)?);
        alice.set_name("Alice of the demo")?;
        bob.set_name("Bob of the demo")?;
        let inbox = alice.listen()?;
        let link = alice.invite("bob")?;
        let contact = bob.add(&link, "alice")?;
        let text = "the first message of this network";
        let sent = bob.send(&contact, text)?;
        let at = inbox.wait_text(text, DEADLINE).context("the first message did not arrive")?;
        self.summary.start_to_first_delivery_ms = millis(at.duration_since(self.since));
        self.count(1, 1);
        ensure!(bob.wait_delivered(&sent, DEADLINE)?, "the first message was never confirmed");
        self.secrets.push(("text".to_owned(), text.as_bytes().to_vec()));
        self.secrets.push(("name".to_owned(), b"Alice of the demo".to_vec()));
        self.secrets.push(("name".to_owned(), b"Bob of the demo".to_vec()));
        for party in [&alice, &bob] {
            for (label, key) in party.keys()? {
                self.secrets.push((label, key));
            }
        }
        let ms = self.summary.start_to_first_delivery_ms;
        Ok((
            json!({ "start_to_first_delivery_ms": ms, "delivered_ms": millis(sent.since.elapsed()) }),
            format!("bob -> alice by an invite, sealed; {ms} ms after the first process was started"),
        ))
    }

    /// Messages both ways, for the delays: first each when the one before is confirmed, so that nothing else is on its
    /// way; then each as the answer to the one before, whose confirmation is on its way too.
    fn round(&mut self) -> anyhow::Result<(Value, String)> {
        self.summary.delays = self.exchange("message", true)?;
        self.summary.answers = self.exchange("answer", false)?;
        let (alone, answers) = (&self.summary.delays, &self.summary.answers);
        let figures = json!({
            "sent": 2 * ROUND_MESSAGES, "p50_ms": rounded(alone.percentile_ms(50)),
            "p95_ms": rounded(alone.percentile_ms(95)), "answers": answers.figures(),
        });
        let text = format!(
            "{ROUND_MESSAGES} messages both ways, median {:.1} ms, p95 {:.1} ms; {ROUND_MESSAGES} answers at once, \
             median {:.1} ms",
            alone.percentile_ms(50),
            alone.percentile_ms(95),
            answers.percentile_ms(50)
        );
        Ok((figures, text))
    }

    /// [`ROUND_MESSAGES`] messages, from alice and from bob in turn; the delay of each to the recipient's event.
    fn exchange(&mut self, label: &str, one_at_a_time: bool) -> anyhow::Result<Delays> {
        let (alice, bob) = (self.party(ALICE)?, self.party(BOB)?);
        let (to_alice, to_bob) = (alice.listen()?, bob.listen()?);
        let alices = bob.contact("alice")?.context("bob has no contact alice")?;
        let bobs = alice.contact("bob")?.context("alice has no contact bob")?;
        let mut delays = Delays::default();
        for number in 0..ROUND_MESSAGES {
            let text = format!("{label} {number} of the round trip");
            let (from, contact, inbox): (_, _, &Inbox) =
                if number % 2 == 0 { (&alice, &bobs, &to_bob) } else { (&bob, &alices, &to_alice) };
            let sent = from.send(contact, &text)?;
            let at = inbox.wait_text(&text, DEADLINE).with_context(|| format!("'{text}' did not arrive"))?;
            delays.0.push(at.duration_since(sent.since).as_secs_f64() * 1e3);
            self.count(1, 1);
            if one_at_a_time {
                ensure!(from.wait_delivered(&sent, DEADLINE)?, "'{text}' was never confirmed");
            }
        }
        Ok(delays)
    }

    fn count(&mut self, sent: usize, delivered: usize) {
        self.summary.sent += sent;
        self.summary.delivered += delivered;
    }

    /// Texts, names and keys stand in no other node's store and in no log; a planted marker is found.
    fn sealed(&mut self) -> anyhow::Result<(Value, String)> {
        let marker = format!("planted marker {:016x}", self.options.seed ^ 0x5eed);
        let planted = self.net.folder().join("planted");
        plant(&marker, &planted, &self.places(&[ALICE, BOB])?)?;
        let needles: Vec<_> = self.secrets.iter().filter_map(|(label, secret)| Needle::new(label, secret)).collect();
        ensure!(needles.len() == self.secrets.len(), "a secret is too short to be searched for");
        let mut places = self.places(&[ALICE, BOB])?;
        let stores = places.len();
        for node in self.net.running() {
            places.extend([node.plan.log(), node.plan.output()]);
        }
        places.push(planted.clone());
        let hits = search(&places, &needles)?;
        let markers = search(&places, &[Needle::new("marker", marker.as_bytes()).context("a marker")?])?;
        std::fs::remove_dir_all(&planted)?;
        ensure!(markers.len() == 2, "the search found {} of 2 planted markers: it proves nothing", markers.len());
        let figures =
            json!({ "hits": hits.len(), "needles": needles.len(), "stores": stores, "markers_found": markers.len() });
        self.summary.sealed = json!({ "hits": hits.len() });
        ensure!(hits.is_empty(), "found in clear: {hits:?}");
        let logs = self.net.running().count();
        Ok((
            figures,
            format!(
                "texts, names and keys searched in {stores} other stores and {logs} logs: 0 found (2 planted markers found)"
            ),
        ))
    }

    /// Data directories of all nodes that run, but for `but`.
    fn places(&self, but: &[usize]) -> anyhow::Result<Vec<PathBuf>> {
        let others = self.net.running().filter(|node| !but.contains(&node.plan.number));
        let places: Vec<_> = others.map(|node| node.plan.data()).collect();
        ensure!(!places.is_empty(), "there is no other node to search");
        Ok(places)
    }

    /// The recipient is killed, the sender sends and goes too, the recipient comes back: all arrive.
    fn offline(&mut self) -> anyhow::Result<(Value, String)> {
        let alice = self.party(ALICE)?;
        let bobs = alice.contact("bob")?.context("alice has no contact bob")?;
        self.net.kill(BOB)?;
        let texts: Vec<_> = (0..OFFLINE_MESSAGES).map(|number| format!("while you were away, {number}")).collect();
        let mut held_by = u32::MAX;
        for text in &texts {
            let sent = alice.send(&bobs, text)?;
            let state = alice.wait_stage(&sent, Stage::Held, DEADLINE)?.context("a message was not held by anybody")?;
            held_by = held_by.min(state.held_by);
        }
        self.net.stop(ALICE)?;
        let since = Instant::now();
        self.net.restart(BOB)?;
        let bob = self.party(BOB)?;
        let alices = bob.contact("alice")?.context("bob has no contact alice")?;
        let mut shown = Vec::new();
        self.wait("the messages sent meanwhile", || {
            shown = bob.received(&alices)?.into_iter().filter(|text| texts.contains(text)).collect();
            Ok(texts.iter().all(|text| shown.contains(text)))
        })?;
        let ms = millis(since.elapsed());
        self.count(OFFLINE_MESSAGES, OFFLINE_MESSAGES);
        self.summary.duplicates += shown.len() - OFFLINE_MESSAGES;
        ensure!(shown == texts, "they came in another order or twice: {shown:?}");
        self.summary.offline = json!({ "sent": OFFLINE_MESSAGES, "recovered": shown.len(), "ms": ms });
        self.net.restart(ALICE)?;
        self.wait_online(ALICE)?;
        Ok((
            json!({ "sent": OFFLINE_MESSAGES, "delivered": shown.len(), "duplicates": 0, "held_by": held_by, "recovery_ms": ms }),
            format!(
                "bob killed -9; alice sent {OFFLINE_MESSAGES}, held by {held_by}; alice stopped; bob back: {} of \
                 {OFFLINE_MESSAGES}, in order, 0 twice, {ms} ms after his start",
                shown.len()
            ),
        ))
    }

    /// The node that everybody started from goes for good, and a newcomer still gets in.
    fn founder(&mut self) -> anyhow::Result<(Value, String)> {
        self.net.remove(FOUNDER)?;
        let since = Instant::now();
        let number = self.net.add("carol")?;
        let (alice, carol) = (self.party(ALICE)?, self.party(number)?);
        let inbox = carol.listen()?;
        let link = alice.invite("carol")?;
        carol.add(&link, "alice")?;
        let mut contact = None;
        self.wait("carol as a contact of alice", || {
            contact = alice.contact("carol")?;
            Ok(contact.is_some())
        })?;
        let text = "welcome, the founder has gone";
        alice.send(&contact.context("carol")?, text)?;
        ensure!(inbox.wait_text(text, DEADLINE).is_some(), "carol got no mail");
        let ms = millis(since.elapsed());
        self.count(1, 1);
        self.summary.founder = json!({ "ok": true, "ms": ms });
        Ok((
            json!({ "join_to_mail_ms": ms }),
            "first node removed for good; carol joined by an invite and got mail".to_owned(),
        ))
    }
}

/// Copies a log and a pool file of the first place into `folder`, each with the marker in its middle.
fn plant(marker: &str, folder: &Path, places: &[PathBuf]) -> anyhow::Result<()> {
    let place = places.first().context("a place to plant in")?;
    std::fs::create_dir_all(folder)?;
    let pool_file = largest_file(&place.join("pool")).context("the node has no pool file")?;
    for (source, name) in [(place.join("starling.log"), "log"), (pool_file, "pool")] {
        let content = std::fs::read(&source).with_context(|| format!("reading {}", source.display()))?;
        let (before, after) = content.split_at(content.len() / 2);
        std::fs::write(folder.join(name), [before, marker.as_bytes(), after].concat())?;
    }
    Ok(())
}

fn largest_file(folder: &Path) -> Option<PathBuf> {
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let candidate = if path.is_dir() { largest_file(&path) } else { Some(path) };
        let Some(candidate) = candidate else { continue };
        let bytes = std::fs::metadata(&candidate).map_or(0, |metadata| metadata.len());
        if bytes > 0 && largest.as_ref().is_none_or(|(most, _)| bytes > *most) {
            largest = Some((bytes, candidate));
        }
    }
    largest.map(|(_, path)| path)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// To a tenth.
pub fn rounded(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}
