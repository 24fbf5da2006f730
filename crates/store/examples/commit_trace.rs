//! Commits to a vault and releases a line after each, so that a trace of its system calls shows what lies
//! between: `strace -f -y -e trace=write,fdatasync target/debug/examples/commit_trace DIRECTORY`.

use std::io::Write;
use std::path::Path;

use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_store::seal_at_rest::KeyFile;
use starling_store::vault::{EventBytes, Vault};
use zeroize::Zeroizing;

const COMMITS: u64 = 5;

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: commit_trace DIRECTORY")?;
    let master = KeyFile::of(Path::new(&directory)).create(&mut rand::rng())?;
    let (vault, _) = Vault::open(Path::new(&directory), &master)?;
    for number in 0..COMMITS {
        let value = Zeroizing::new(vec![7; 1_000 * (number as usize + 1)]);
        let put = VaultWrite::Put { key: VaultKey::ordered(RecordKind::Outbox, Vec::new(), number), value };
        let event = EventBytes { unix_ms: number, bytes: Zeroizing::new(b"event".to_vec()) };
        say(&format!("commit {number}\n"))?;
        vault.commit(&[put], vec![event])?;
        say(&format!("release {number}\n"))?;
    }
    Ok(())
}
