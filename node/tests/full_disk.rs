//! Backups on a real full disk: a small tmpfs in a mount namespace of its own. What fails says so and leaves nothing.

#[path = "cli/harness.rs"]
#[allow(dead_code, reason = "the command line's tests use the rest")]
mod harness;

use std::process::{Command, Output};

use harness::{Home, network};

/// Runs the binary with a tmpfs of so many KiB at `place`; after it, the names left there are on stdout.
fn on_a_small_disk(home: &Home, place: &str, kib: u32, arguments: &[&str]) -> Output {
    let namespace = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let script =
        format!("mount -t tmpfs -o size={kib}k none \"$0\" || exit 70; \"$@\"; code=$?; ls -A \"$0\"; exit $code");
    let mut command = Command::new("unshare");
    command.args([namespace, "sh", "-c", &script, place, env!("CARGO_BIN_EXE_starling")]).args(arguments);
    command.env("HOME", home.path("")).env("STARLING_DATA", home.data());
    command.output().unwrap()
}

#[test]
#[ignore = "needs to mount a tmpfs (root, or user namespaces); run by .ci/run"]
fn a_backup_on_a_full_disk_leaves_no_half_file_and_no_half_vault() {
    let home = Home::new();
    let node = home.start(&network());
    let secret = home.file("passphrase", "correct horse battery staple\n");
    for number in 0..12 {
        home.run(&["invite", "--for", &format!("Guest {number}")]).ok();
    }
    let place = home.path("small");
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    let file = format!("{place}/ana.starling");
    let done = on_a_small_disk(&home, place, 4, &["backup", "create", &file, "--passphrase-file", &secret]);
    assert_eq!(done.status.code(), Some(8), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("The disk is full. Nothing of "), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "", "nothing is left");

    let whole = home.path("whole.starling").to_str().unwrap().to_owned();
    home.run(&["backup", "create", &whole, "--passphrase-file", &secret]).ok();
    node.stop();
    let restore = ["--data", place, "backup", "restore", &whole, "--passphrase-file", &secret];
    let done = on_a_small_disk(&home, place, 16, &restore);
    assert_eq!(done.status.code(), Some(8), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("cannot be written"), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "lock\n", "no half vault");
    let done = on_a_small_disk(&home, place, 64 << 10, &restore);
    assert_eq!(done.status.code(), Some(0), "with room it goes on: {done:?}");
}
