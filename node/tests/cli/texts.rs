//! No text of the program names a command that it does not have: the sources of everything that speaks to people are
//! searched, and what is found is run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::Home;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands between quotes in a line of Rust that is no comment.
fn literals(line: &str) -> Vec<String> {
    let code = line.trim_start();
    if code.starts_with("//") {
        return Vec::new();
    }
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Words that follow `starling ` in a text: the command that it names.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find("starling ") {
        let before = rest[..place].chars().next_back();
        rest = &rest[place + "starling ".len()..];
        if before.is_some_and(|character| character.is_alphanumeric() || matches!(character, '-' | '_' | '/' | '.')) {
            continue;
        }
        let word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase()) && !word.is_empty();
        let words: Vec<String> = rest.split(' ').take(2).take_while(|next| word(next)).map(str::to_owned).collect();
        if !words.is_empty() {
            commands.push(words);
        }
    }
    commands
}

#[test]
fn no_text_names_a_command_that_this_build_lacks() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&package.join("src"), &mut files);
    sources(&package.join("../crates/api/src"), &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut named = BTreeSet::new();
    for file in &files {
        // Tests may say anything.
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        if !file.ends_with("tests.rs") {
            named.extend(text.lines().flat_map(literals).flat_map(|literal| commands(&literal)));
        }
    }
    for known in ["stop", "unlock", "passphrase", "invite"] {
        assert!(named.iter().any(|words| words[0] == known), "the search does not find '{known}': {named:?}");
    }
    let home = Home::new();
    for words in named {
        let two: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let one = [words[0].as_str(), "--help"];
        let fine = home.run(&two).code == Some(0) || home.run(&one).code == Some(0);
        assert!(fine, "a text names 'starling {}'", words.join(" "));
    }
}

#[test]
fn the_search_for_commands_finds_them() {
    assert_eq!(commands("Open it: starling unlock now"), [["unlock", "now"]]);
    assert_eq!(commands("starling peers add <address>"), [["peers", "add"]]);
    assert!(commands("Start it: starling   Other folder").is_empty());
    assert!(commands("the /starling x").is_empty());
    assert_eq!(literals(r#"    foo("a", "starling open")"#), ["a", "starling open"]);
    assert!(literals(r#"  /// "starling open""#).is_empty());
}
