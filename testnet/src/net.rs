//! A testnet and its one owner: the process that started the nodes and holds their stdin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use starling_api::Client;

use crate::names::name_of;
use crate::process::{NodePlan, NodeProcess, Starting};
use crate::run_folder::{NetState, NodeState, ProcessMark, RunFolder};

/// How long a node may take until it is ready.
pub const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a node may take to save and stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Nodes that are started at once: more would all dial each other in the same second.
const STARTED_AT_ONCE: usize = 16;
/// Memory that a node is expected to take, bytes.
const NODE_BYTES: u64 = 40 * 1024 * 1024;

/// How a testnet is started.
#[derive(Debug, Clone)]
pub struct NetOptions {
    /// Its name.
    pub name: String,
    /// Number of nodes.
    pub nodes: usize,
    /// Seed of what is random in it.
    pub seed: u64,
    /// The `starling` binary.
    pub binary: PathBuf,
    /// Names of the first nodes; the others get names of [`crate::names`].
    pub names: Vec<String>,
}

enum Slot {
    Up(NodeProcess),
    Down(NodePlan),
}

impl Slot {
    fn plan(&self) -> &NodePlan {
        match self {
            Self::Up(process) => &process.plan,
            Self::Down(plan) => plan,
        }
    }
}

/// Why a testnet of this size does not start.
///
/// # Errors
/// When the machine's free memory does not hold `nodes` nodes.
pub fn check_memory(nodes: usize) -> anyhow::Result<()> {
    let Some(free) = available_bytes() else { return Ok(()) };
    let needed = NODE_BYTES.saturating_mul(nodes as u64);
    if needed > free {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        let fit = free / NODE_BYTES;
        bail!(
            "{nodes} nodes need ~{:.1} GB (40 MB each); {:.1} GB free. Try --nodes {fit}, or --force",
            gb(needed),
            gb(free)
        );
    }
    Ok(())
}

fn available_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A running testnet. Dropping it stops its nodes.
pub struct Net {
    folder: RunFolder,
    state: NetState,
    slots: BTreeMap<usize, Slot>,
    binary: PathBuf,
}

impl Net {
    /// Makes the folder and the state file; starts no node yet.
    ///
    /// # Errors
    /// When a testnet of this name runs, or its folder cannot be made.
    pub fn create(options: &NetOptions) -> anyhow::Result<Self> {
        let folder = RunFolder::of(&options.name)?;
        folder.create()?;
        let owner = ProcessMark::of(std::process::id()).context("this process in /proc")?;
        let state = NetState {
            v: RunFolder::state_version(),
            name: options.name.clone(),
            network: format!("tn-{:08x}-{}", options.seed & 0xffff_ffff, std::process::id()),
            seed: options.seed,
            owner,
            started_unix_ms: unix_ms(),
            ready: false,
            nodes: Vec::new(),
        };
        folder.write(&state)?;
        Ok(Self { folder, state, slots: BTreeMap::new(), binary: options.binary.clone() })
    }

    /// Starts all nodes: the first knows nobody, every other knows the first one's address. `progress` hears
    /// of each node that is ready; `cancelled` is asked in between.
    ///
    /// # Errors
    /// When a node dies or is late, or when cancelled.
    pub fn start_nodes(
        &mut self,
        options: &NetOptions,
        mut progress: impl FnMut(&NodeProcess),
        cancelled: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let mut plans = (1..=options.nodes).map(|number| {
            let name = options.names.get(number - 1).cloned().unwrap_or_else(|| name_of(number));
            self.plan(number, &name)
        });
        let Some(first) = plans.next() else { bail!("a testnet has at least one node") };
        let mut plans: Vec<_> = plans.collect();
        let founder = first.spawn()?.wait_ready(READY_DEADLINE)?;
        let seed = founder.ready.addresses.first().cloned().context("the first node listens nowhere")?;
        progress(&founder);
        self.put(founder)?;
        plans.iter_mut().for_each(|plan| plan.seed = Some(seed.clone()));
        for group in plans.chunks(STARTED_AT_ONCE) {
            let starting: Vec<Starting> = group.iter().map(NodePlan::spawn).collect::<anyhow::Result<_>>()?;
            for node in starting {
                let node = node.wait_ready(READY_DEADLINE)?;
                progress(&node);
                self.put(node)?;
                if cancelled() {
                    bail!("interrupted");
                }
            }
        }
        Ok(())
    }

    fn plan(&self, number: usize, name: &str) -> NodePlan {
        NodePlan {
            number,
            name: name.to_owned(),
            folder: self.folder.path().join(format!("{number}-{name}")),
            network: self.state.network.clone(),
            seed: None,
            binary: self.binary.clone(),
        }
    }

    fn put(&mut self, process: NodeProcess) -> anyhow::Result<()> {
        self.slots.insert(process.plan.number, Slot::Up(process));
        self.write_state()
    }

    /// Says in the state file that all nodes are up.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_ready(&mut self) -> anyhow::Result<()> {
        self.state.ready = true;
        self.write_state()
    }

    fn write_state(&mut self) -> anyhow::Result<()> {
        self.state.nodes = self.slots.values().map(node_state).collect();
        self.folder.write(&self.state)
    }

    /// Its state, as in the state file.
    pub fn state(&self) -> &NetState {
        &self.state
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its run folder, with the control socket.
    pub fn run_folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The number of a node by its number or name.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn find(&self, node: &str) -> anyhow::Result<usize> {
        let found =
            self.slots.values().map(Slot::plan).find(|plan| plan.name == node || plan.number.to_string() == node);
        match found {
            Some(plan) => Ok(plan.number),
            None => bail!("there is no node '{node}' in testnet '{}'", self.state.name),
        }
    }

    /// A node that runs.
    ///
    /// # Errors
    /// When it is down or does not exist.
    pub fn node(&self, number: usize) -> anyhow::Result<&NodeProcess> {
        match self.slots.get(&number) {
            Some(Slot::Up(process)) => Ok(process),
            Some(Slot::Down(plan)) => bail!("{} is down", plan.name),
            None => bail!("there is no node {number}"),
        }
    }

    /// All nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &NodeProcess> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Up(process) => Some(process),
            Slot::Down(_) => None,
        })
    }

    /// A client of a node's API.
    ///
    /// # Errors
    /// When the node is down.
    pub fn client(&self, number: usize) -> anyhow::Result<Client> {
        let node = self.node(number)?;
        Client::open(&node.plan.data()).with_context(|| format!("the API of {}", node.plan.name))
    }

    fn take_up(&mut self, number: usize) -> anyhow::Result<NodeProcess> {
        match self.slots.remove(&number) {
            Some(Slot::Up(process)) => Ok(process),
            Some(down @ Slot::Down(_)) => {
                let name = down.plan().name.clone();
                self.slots.insert(number, down);
                bail!("{name} is down already")
            }
            None => bail!("there is no node {number}"),
        }
    }

    /// Kills a node as a power cut would.
    ///
    /// # Errors
    /// When it is down.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let plan = self.take_up(number)?.kill()?;
        self.slots.insert(number, Slot::Down(plan));
        self.write_state()
    }

    /// Stops a node; it saves and ends.
    ///
    /// # Errors
    /// When it is down, or does not stop in time.
    pub fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        let process = self.take_up(number)?;
        let plan = process.plan.clone();
        let stopped = process.stop(STOP_DEADLINE);
        self.slots.insert(number, Slot::Down(plan));
        self.write_state()?;
        stopped.map(drop)
    }

    /// Starts a node again that is down; one that runs is stopped first.
    ///
    /// # Errors
    /// When it does not stop or start in time.
    pub fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        if self.node(number).is_ok() {
            self.stop(number)?;
        }
        let Some(Slot::Down(plan)) = self.slots.get(&number) else { bail!("there is no node {number}") };
        let process = plan.spawn()?.wait_ready(READY_DEADLINE)?;
        self.put(process)
    }

    /// Removes a node for good, with its folder.
    ///
    /// # Errors
    /// When it does not exist or its folder cannot be removed.
    pub fn remove(&mut self, number: usize) -> anyhow::Result<()> {
        if self.node(number).is_ok() {
            self.kill(number)?;
        }
        let Some(slot) = self.slots.remove(&number) else { bail!("there is no node {number}") };
        std::fs::remove_dir_all(&slot.plan().folder)?;
        self.write_state()
    }

    /// Adds a node that knows nobody.
    ///
    /// # Errors
    /// When it does not start in time.
    pub fn add(&mut self, name: &str) -> anyhow::Result<usize> {
        let number = self.slots.keys().next_back().copied().unwrap_or(0) + 1;
        let process = self.plan(number, name).spawn()?.wait_ready(READY_DEADLINE)?;
        self.put(process)?;
        Ok(number)
    }

    /// Stops all nodes and removes the folder. How many were stopped, and how many bytes went.
    ///
    /// # Errors
    /// When the folder cannot be removed; all nodes are down then all the same.
    pub fn down(mut self) -> anyhow::Result<(usize, u64)> {
        let mut stopped = 0;
        let slots = std::mem::take(&mut self.slots);
        // All are asked before the first is waited for.
        let stopping: Vec<_> = slots
            .into_values()
            .filter_map(|slot| match slot {
                Slot::Up(process) => Some(std::thread::spawn(move || process.stop(STOP_DEADLINE))),
                Slot::Down(_) => None,
            })
            .collect();
        let mut late = Vec::new();
        for thread in stopping {
            match thread.join() {
                Ok(Ok(_)) => stopped += 1,
                Ok(Err(error)) => late.push(error.to_string()),
                Err(_) => late.push("a thread that stopped a node ended early".to_owned()),
            }
        }
        late.iter().for_each(|error| eprintln!("{error}"));
        let bytes = crate::process::bytes_below(self.folder.path());
        std::fs::remove_dir_all(self.folder.path())?;
        Ok((stopped + late.len(), bytes))
    }
}

fn node_state(slot: &Slot) -> NodeState {
    let plan = slot.plan();
    let (process, url) = match slot {
        Slot::Up(process) => (ProcessMark::of(process.ready.pid), Some(process.ready.url.clone())),
        Slot::Down(_) => (None, None),
    };
    NodeState {
        number: plan.number,
        name: plan.name.clone(),
        process,
        url,
        data: plan.data(),
        log: plan.log(),
        output: plan.output(),
    }
}

fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
