//! `env`: shell variables by which `starling --node N` finds the nodes.

use starling_testnet::run_folder::NetState;

use super::{EXIT_OK, Outcome};

/// Prints the variables.
pub(crate) fn env(state: &NetState) -> Outcome {
    println!("export STARLING_TESTNET={}", quoted(&state.name));
    for node in &state.nodes {
        let number = node.number;
        println!("export STARLING_NODE_{number}_NAME={}", quoted(&node.name));
        println!("export STARLING_NODE_{number}_DATA={}", quoted(&node.data.to_string_lossy()));
        let api = starling_api::ApiFile::load(&node.data);
        if let (Some(url), Ok(api)) = (&node.url, api) {
            println!("export STARLING_NODE_{number}_URL={}", quoted(url));
            println!("export STARLING_NODE_{number}_TOKEN={}", quoted(&String::from_utf8_lossy(api.token.as_bytes())));
        }
    }
    Ok(EXIT_OK)
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
