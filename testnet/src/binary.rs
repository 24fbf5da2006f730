//! Finds the `starling` binary that belongs to this build.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// The binary named by `STARLING_BIN`, else the one beside this executable (or one folder up, where a
/// test's executable looks from).
///
/// # Errors
/// When there is none; the message says how to build it.
pub fn starling() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("STARLING_BIN") {
        let path = PathBuf::from(named);
        if !path.is_file() {
            bail!("STARLING_BIN names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let own = std::env::current_exe().context("where this program lies")?;
    let file = format!("starling{}", std::env::consts::EXE_SUFFIX);
    let folders = own.ancestors().skip(1).take(2);
    match folders.map(|folder| folder.join(&file)).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("there is no `starling` beside {}: run cargo build --workspace", own.display()),
    }
}
