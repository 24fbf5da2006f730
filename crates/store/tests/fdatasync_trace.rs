//! Reads the system calls of the example `commit_trace`: between each commit and what it releases, sled's
//! file must have been synced by the committing thread. sled alone never does that.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds the example in the profile of this test: a stale one would prove nothing.
fn build_example() -> PathBuf {
    let profile_directory = env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let profile = match profile_directory.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "starling-store", "--example", "commit_trace", "--profile", profile])
        .status()
        .unwrap();
    assert!(built.success());
    profile_directory.join("examples/commit_trace")
}

#[test]
#[ignore = "needs strace; run by .ci/run"]
fn the_database_file_is_synced_between_every_commit_and_its_release() {
    let example = build_example();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let data = directory.path().join("data");
    let traced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=write,fdatasync", "-o"])
        .arg(&trace)
        .arg(&example)
        .arg(&data)
        .output()
        .expect("strace is installed");
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));

    let database = format!("<{}>", data.join("vault/records/db").display());
    let text = fs::read_to_string(&trace).unwrap();
    let mut committing: Option<(&str, &str)> = None;
    let mut synced = false;
    let mut releases = 0;
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        if let Some((_, rest)) = call.split_once("\"commit ") {
            committing = Some((thread, rest.split('\\').next().unwrap()));
            synced = false;
        } else if let Some((_, rest)) = call.split_once("\"release ") {
            assert_eq!(committing, Some((thread, rest.split('\\').next().unwrap())));
            assert!(synced, "released without a sync:\n{text}");
            releases += 1;
        } else if committing.is_some_and(|(committing, _)| committing == thread) {
            // In a trace of several threads a call may come in two lines; the first has the file.
            let of_database = call.trim_start().starts_with("fdatasync(") && call.contains(&database);
            synced |= of_database && !call.contains("= -1");
        }
    }
    assert_eq!(releases, 5, "{text}");
}
