//! `starling up`, and `starling` alone: the node in the foreground. SPEC: product, the first journey.
//!
//! What can fail for a reason that a person can mend comes first, in this order: configuration, data directory, its
//! lock, the ports. Then the node starts; being locked, or alone, is no failure. It ends by Ctrl-C, by a request to
//! terminate, by `starling stop`, or, with `--exit-with-stdin`, when its owner's pipe ends.

mod ports;
mod voice;

use std::fs::DirBuilder;
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use starling_api::ApiFile;
use starling_store::lock::{DirectoryLock, LockError};
use starling_store::seal_at_rest::{KeyError, KeyFile};
use starling_store::vault::VaultError;
use starling_wire::network::NetworkParameters;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Overrides, PeerAddress, fields};
use crate::core::handle::NodeState;
use crate::core::lanes::Stopped;
use crate::core::opened::DamagedRecords;
use crate::core::{self, Node, Settings};
use crate::logging;
use crate::memory::{self, Guard};
use crate::server::sessions::Sessions;
use crate::server::{self, Serving};

use super::connect::{Context, disk_failure, starts_file};
use super::failure::{Exit, Failure};
use super::{clean, hints, open, times};
use ports::ApiSockets;
pub(crate) use ports::PEER_PORT_FILE;
use voice::{Header, Voice};

/// Most threads of the runtime; the core has its own.
const RUNTIME_THREADS_MAX: usize = 4;

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Flags {
    /// Port of the local API on 127.0.0.1 [default: 7827, or the next free one]; 0: the system chooses.
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Where to listen for peers: IP:PORT or a multiaddr; may be repeated [default: port 7828 on all addresses].
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    listen: Vec<String>,
    /// Name of the network [default: main].
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Do not open the page by itself.
    #[arg(long)]
    no_open: bool,
    /// Do not look for peers on the local network.
    #[arg(long)]
    no_mdns: bool,
    /// Configuration file [default: config.toml in the data directory].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when stdin ends: for programs that own the node.
    #[arg(long)]
    exit_with_stdin: bool,
    /// Print every field of the configuration with its meaning and default, and exit.
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(context: &Context, flags: &Flags, guard: Guard) -> Result<Exit, Failure> {
    if flags.print_config {
        context.terminal.part(&fields::documented_file())?;
        return Ok(Exit::Ok);
    }
    let prepared = Prepared::new(context, flags)?;
    log_guard(guard);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(RUNTIME_THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected(format!("The node cannot start: {error}")))?;
    let exit = runtime.block_on(prepared.run(context, flags.exit_with_stdin, !flags.no_open));
    // A thread that still reads stdin must not hold the end up.
    runtime.shutdown_background();
    exit
}

/// Locks the memory, and says in the log what keeps it from others.
fn log_guard(guard: Guard) {
    let Guard { no_core_dumps, closed_to_debuggers } = guard;
    let locked = memory::lock();
    tracing::info!(no_core_dumps, closed_to_debuggers, locked, "memory");
    if !locked {
        tracing::info!("memory may go to the swap: the limit of locked memory (ulimit -l) is not unlimited");
    }
}

/// Everything that can be refused before the node starts.
struct Prepared {
    settings: Settings,
    network: NetworkParameters,
    storage_limit_bytes: u64,
    listeners: Vec<std::net::TcpListener>,
    api_file: ApiFile,
    header: Header,
}

impl Prepared {
    fn new(context: &Context, flags: &Flags) -> Result<Self, Failure> {
        let overrides = Overrides {
            api_port: flags.api_port,
            listen: flags.listen.clone(),
            network: flags.network.clone(),
            no_mdns: flags.no_mdns,
        };
        let data = &context.data;
        let config = Config::load(data, flags.config.as_deref(), &overrides).map_err(refused_config)?;
        let filter = logging::filter(&config.log_level).map_err(Failure::bad_input)?;
        make_directory(data)?;
        let lock = lock(data)?;
        let new = !KeyFile::of(data).exists();
        logging::start(data, filter).map_err(|error| disk_failure(&data.join(logging::FILE_NAME), &error))?;
        let ApiSockets { listeners, port, note } = ports::bind_api(config.api_port.as_ref())?;
        note.iter().for_each(|note| context.terminal.note(note));
        let peers = ports::choose_peer(&config, data)?;
        peers.note.iter().for_each(|note| context.terminal.note(note));
        let url = format!("http://127.0.0.1:{port}");
        let api_file = ApiFile {
            url: url.clone(),
            token: server::auth::new_token(),
            pid: std::process::id(),
            started: times::now(),
        };
        Ok(Self {
            header: Header { network: config.network.name.clone(), data: data.clone(), new, api: url },
            network: config.network.clone(),
            storage_limit_bytes: config.storage_limit_bytes,
            settings: Settings {
                data: data.clone(),
                parameters: config.network,
                listen: peers.listen,
                external_addresses: config.external_addresses.iter().map(PeerAddress::to_string).collect(),
                mdns: config.mdns,
                seeds: config.seeds,
                disk_limit_bytes: config.storage_limit_bytes,
                starts: starts_file(data),
                lock,
            },
            listeners,
            api_file,
        })
    }

    async fn run(self, context: &Context, exit_with_stdin: bool, opens_page: bool) -> Result<Exit, Failure> {
        let mut ends = Ends::new(exit_with_stdin)?;
        let voice = Voice::new(context.terminal, self.header);
        let sessions = Arc::new(Sessions::load(&context.data));
        let terminal = context.terminal;
        let shows_link = terminal.rewrites && !terminal.json && !terminal.quiet;
        let now = times::now().0;
        voice.header(shows_link.then(|| sessions.new_code(&self.api_file.url, now).url).as_deref());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "the node starts");
        let (node, task) = core::start(self.settings).map_err(|error| start_failure(&error))?;
        let shutdown = CancellationToken::new();
        let serving = Serving {
            node: node.clone(),
            network: self.network,
            storage_limit_bytes: self.storage_limit_bytes,
            sessions: sessions.clone(),
            url: self.api_file.url.clone(),
            token: self.api_file.token.clone(),
        };
        let server = tokio::spawn(server::serve(serving, self.listeners, shutdown.clone()));
        let data = &context.data;
        self.api_file.write(data).map_err(|error| disk_failure(&ApiFile::path(data), &error))?;
        if shows_link && opens_page && open::has_desktop() {
            // A code of its own: the printed one stays good.
            open::browse(&sessions.new_code(&self.api_file.url, now).url);
        }
        let ended = Running { node, task, voice, data }.until_stopped(&mut ends).await;
        // First the file, so that nobody is sent to a port that will soon be somebody else's.
        let removed = ApiFile::remove(data);
        shutdown.cancel();
        // It ends its calls within a limit of its own.
        let _ = server.await;
        let exit = ended?;
        removed.map_err(|error| disk_failure(&ApiFile::path(data), &error))?;
        Ok(exit)
    }
}

pub(super) fn refused_config(error: ConfigError) -> Failure {
    Failure::new(Exit::Usage, "config", error.to_string()).hint(hints::PRINT_CONFIG)
}

/// Makes the data directory, for its owner alone.
pub(super) fn make_directory(data: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| disk_failure(data, &error))
}

/// Locks the data directory for this process.
pub(super) fn lock(data: &Path) -> Result<DirectoryLock, Failure> {
    DirectoryLock::acquire(data).map_err(|error| match error {
        LockError::Held { pid } => {
            let pid_words = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let (open, stop) = (hints::OPEN, hints::STOP);
            let message = format!("Starling already runs here{pid_words}. Page: {open}   Stop it: {stop}");
            Failure::new(Exit::Conflict, "already_running", message).detail("pid", pid)
        }
        LockError::Io(error) => disk_failure(data, &error),
    })
}

/// What a node that cannot start says: nearly always its vault or its disk.
pub(super) fn start_failure(error: &anyhow::Error) -> Failure {
    let newer = error.chain().find_map(|cause| match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(VaultError::Newer { found, supported, version }), _) => Some((*found, *supported, version.clone())),
        (_, Some(KeyError::Newer { found, supported })) => Some((u32::from(*found), u32::from(*supported), None)),
        _ => None,
    });
    if let Some((found, supported, version)) = newer {
        let this = env!("CARGO_PKG_VERSION");
        let message = match version {
            Some(version) => format!("Written by Starling {version}; this is {this}. Nothing was changed."),
            None => format!(
                "Written by a newer Starling (format {found}); this is {this} and reads up to {supported}. Nothing was \
                 changed."
            ),
        };
        return Failure::new(Exit::Version, "version_too_new", message);
    }
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(VaultError::Older { .. }))) {
        let message = "Written by a build from before the first release, which this one cannot read. Nothing was \
                       changed. Move the data directory away to begin anew.";
        return Failure::new(Exit::Version, "version_too_old", message);
    }
    if error.chain().any(|cause| cause.is::<starling_net::NetError>()) {
        return Failure::unexpected(clean::line(&format!("The network cannot start: {error:#}")));
    }
    if let Some(damaged) = error.chain().find_map(|cause| cause.downcast_ref::<DamagedRecords>()) {
        return Failure::new(Exit::Disk, "vault_failed", format!("{damaged}; opened read-only.")).hint(hints::SALVAGE);
    }
    let failure = |message: &str| Failure::new(Exit::Disk, "vault_failed", message).hint(hints::RESTORE);
    match error.chain().find_map(|cause| cause.downcast_ref()) {
        Some(VaultError::Database(_)) => {
            failure("The vault's database is damaged and cannot be opened. Nothing was changed.")
        }
        Some(VaultError::Damaged(what)) => {
            failure(&format!("The vault cannot be opened: {what}. Nothing was changed."))
        }
        _ => Failure::new(Exit::Disk, "vault_failed", clean::line(&format!("The vault cannot be opened: {error:#}"))),
    }
}

/// Everything that ends the node.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stdin: Option<mpsc::Receiver<()>>,
}

impl Ends {
    fn new(with_stdin: bool) -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::unexpected(format!("No signals: {error}")));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
            stdin: with_stdin.then(end_of_stdin),
        })
    }

    async fn next(&mut self) {
        let owner_gone = async {
            match &mut self.stdin {
                Some(end) => end.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            _ = owner_gone => {}
        }
    }
}

/// Tells when stdin ends. What comes by it is thrown away.
fn end_of_stdin() -> mpsc::Receiver<()> {
    let (ended, end) = mpsc::channel(1);
    // A thread of its own: a read of stdin cannot be cancelled.
    std::thread::spawn(move || {
        let mut discarded = [0; 4_096];
        while std::io::stdin().read(&mut discarded).is_ok_and(|bytes| bytes > 0) {}
        let _ = ended.blocking_send(());
    });
    end
}

/// The node while it runs.
struct Running<'context> {
    node: Node,
    task: JoinHandle<anyhow::Result<Stopped>>,
    voice: Voice,
    data: &'context Path,
}

impl Running<'_> {
    /// Tells what happens until the node has stopped, for whatever reason.
    async fn until_stopped(mut self, ends: &mut Ends) -> Result<Exit, Failure> {
        let mut states = self.node.watch_state();
        let mut networks = self.node.shared.network.subscribe();
        let mut recovered_said = false;
        loop {
            self.tell();
            if !recovered_said && matches!(self.node.state(), NodeState::Joining | NodeState::Online) {
                recovered_said = true;
                self.tell_recovered().await;
            }
            if self.node.state() == NodeState::Stopping {
                return self.stop(ends).await;
            }
            tokio::select! {
                () = ends.next() => return self.stop(ends).await,
                ended = &mut self.task => return self.ended(ended),
                _ = states.changed() => {}
                _ = networks.changed() => {}
            }
        }
    }

    fn tell(&mut self) {
        let (state, network) = (self.node.state(), self.node.network());
        self.voice.ready(state, network.as_ref());
        self.voice.state(state, network.as_ref(), self.node.protection());
        self.voice.problem(network.as_ref().and_then(|view| view.problem.as_deref()));
    }

    async fn tell_recovered(&self) {
        use starling_messenger::turn::{Command, Reply};
        if let Ok(Reply::Status(status)) = self.node.command(Command::Status).await {
            self.voice.recovered(status.recovered);
        }
    }

    /// Saves and leaves; a second Ctrl-C leaves at once.
    async fn stop(mut self, ends: &mut Ends) -> Result<Exit, Failure> {
        self.voice.stopping();
        self.node.stop().await;
        let ended = tokio::select! {
            ended = &mut self.task => ended,
            _ = ends.interrupt.recv() => {
                let _ = ApiFile::remove(self.data);
                std::process::exit(Exit::Interrupted as i32);
            }
        };
        self.ended(ended)
    }

    fn ended(self, ended: Result<anyhow::Result<Stopped>, tokio::task::JoinError>) -> Result<Exit, Failure> {
        match ended {
            Ok(Ok(stopped)) => {
                tracing::info!("the node has stopped");
                self.voice.stopped(u64::from(stopped.undelivered));
                Ok(Exit::Ok)
            }
            Ok(Err(error)) => {
                let failure = start_failure(&error);
                // Said on the terminal in other words.
                tracing::info!(code = failure.code, error = format!("{error:#}"), "the node cannot go on");
                Err(failure)
            }
            Err(error) => Err(Failure::unexpected(format!("The node failed: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use starling_store::vault::VaultHealth;

    use super::*;

    #[test]
    fn a_vault_of_a_newer_version_is_not_a_broken_one() {
        use anyhow::Context as _;
        let newer = |error: anyhow::Result<()>| start_failure(&error.context("the vault").unwrap_err());
        let vault = newer(Err(VaultError::Newer { found: 2, supported: 1, version: None }.into()));
        assert_eq!(vault.exit, Exit::Version);
        assert!(vault.message.starts_with("Written by a newer Starling (format 2); this is "), "{}", vault.message);
        let version = Some("0.3.0".to_owned());
        let vault = newer(Err(VaultError::Newer { found: 2, supported: 1, version }.into()));
        let this = env!("CARGO_PKG_VERSION");
        assert_eq!(vault.message, format!("Written by Starling 0.3.0; this is {this}. Nothing was changed."));
        assert_eq!(newer(Err(KeyError::Newer { found: 3, supported: 1 }.into())).exit, Exit::Version);
        assert_eq!(newer(Err(VaultError::Older { found: 1, oldest: 2 }.into())).exit, Exit::Version);
        let damaged = newer(Err(KeyError::Damaged.into()));
        assert_eq!(damaged.exit, Exit::Disk);
        assert_eq!(damaged.message, "The vault cannot be opened: the vault: the key file is damaged");
    }

    #[test]
    fn a_damaged_record_is_told_with_what_to_do() {
        let failure = |health| start_failure(&DamagedRecords(health).into());
        let one = failure(VaultHealth { records: 14, damaged: 1, first_damaged: 3 });
        assert_eq!(one.message, "Vault record 3 of 14 fails its check; opened read-only.");
        assert_eq!((one.exit, one.next_step()), (Exit::Disk, Some("starling backup create --salvage FILE")));
        let some = failure(VaultHealth { records: 14, damaged: 5, first_damaged: 3 });
        assert_eq!(some.message, "5 of 14 vault records fail their check; opened read-only.");
    }

    #[test]
    fn a_new_data_directory_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a").join("b");
        make_directory(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        make_directory(&data).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(make_directory(&file).unwrap_err().exit, Exit::Disk);
    }
}
