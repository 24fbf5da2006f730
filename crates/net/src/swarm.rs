//! Starts the network.

use crate::config::{NetConfig, NetError};
use crate::handle::{NetEvents, NetHandle};

/// Starts the network on the current tokio runtime.
///
/// # Errors
/// [`NetError`] when the configuration or the system does not allow it.
pub fn start(config: NetConfig) -> Result<(NetHandle, NetEvents), NetError> {
    config.parameters.validate()?;
    Err(NetError::NoRuntime)
}
