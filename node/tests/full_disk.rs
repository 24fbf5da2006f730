//! Real full disks: a small tmpfs in a mount namespace of its own. A backup that fails says so and leaves nothing; a node
//! stops keeping strangers' mail, then refuses to send, and goes on when there is room again.

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

/// A node on a disk of 200 MB, which is little, then filled until 24 MB are left, then emptied again. What its commands
/// say, each with its exit code, is on stdout.
const NEARLY_FULL: &str = r#"
mkdir -p "$STARLING_DATA" && mount -t tmpfs -o size=200m none "$STARLING_DATA" || exit 70
"$0" up --no-mdns --no-open --network "$NETWORK" --api-port 0 --listen 127.0.0.1:0 >/dev/null &
node=$!
trap 'kill $node' EXIT
until "$0" status >/dev/null 2>&1; do kill -0 $node || exit 71; done
"$0" passphrase --none >/dev/null
"$0" add "$LINK" --name Zoe --wait none --quiet >/dev/null || exit 72
say() { "$0" "$@" 2>&1; echo "exit $?"; }
say status; say send Zoe little --quiet; say doctor
head -c $(( ($(df --output=avail -m "$STARLING_DATA" | tail -1) - 24) * 1048576 )) /dev/zero >"$STARLING_DATA/fill"
until "$0" status | grep -q "no message is accepted"; do kill -0 $node || exit 73; done
say status; say send Zoe none; say doctor
rm "$STARLING_DATA/fill"
until "$0" status | grep -q "relaying paused"; do kill -0 $node || exit 74; done
say send Zoe again --quiet
"#;

#[test]
#[ignore = "needs to mount a tmpfs (root, or user namespaces); run by .ci/run"]
fn a_nearly_full_disk_is_told_of_before_messages_are_refused() {
    let (home, zoe, name) = (Home::new(), Home::new(), network());
    let node = zoe.start(&name);
    let link: serde_json::Value = serde_json::from_str(&zoe.run(&["id", "--json"]).ok()).unwrap();
    node.stop();
    let namespace = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let mut command = Command::new("timeout");
    command.args(["120", "unshare", namespace, "sh", "-c", NEARLY_FULL, env!("CARGO_BIN_EXE_starling")]);
    command.env("HOME", home.path("")).env("STARLING_DATA", home.data()).env("NETWORK", &name);
    let done = command.env("LINK", link["link"].as_str().unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let commands: Vec<&str> = said.split_inclusive("exit ").collect();
    let code = |place: usize| commands[place + 1].chars().next().unwrap();
    let words = |place: usize| commands[place];
    assert!(words(0).contains("! Low disk: relaying paused.") && code(0) == '0', "{said}");
    assert!(words(1).contains("queued m_") && code(1) == '0', "own messages go on: {said}");
    assert!(words(2).contains("warn  low disk: relaying paused ("), "{said}");
    assert!(words(3).contains(" MB are free; no message is accepted."), "{said}");
    assert!(
        words(4).contains(" MB are free; the message was not accepted.\n  Free some space, then send again."),
        "{said}"
    );
    assert_eq!(code(4), '8', "{said}");
    assert!(words(5).contains("fail  only ") && code(5) == '9', "{said}");
    assert!(words(6).contains("queued m_") && code(6) == '0', "{said}");
}
