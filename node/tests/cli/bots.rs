//! The bots of the documentation, as they stand there.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{DEADLINE, Home};
use crate::talk::Pair;

fn docs(name: &str) -> String {
    format!("{}/../docs/bots/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bob says `text`, and waits for Ana's bot to say the same.
#[track_caller]
fn is_echoed(bob: &Home, text: &str) {
    let seconds = format!("{}s", DEADLINE.as_secs());
    let mut watch = bob.command(&["watch", "--json", "--types", "message.received", "--timeout", &seconds]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let sent = bob.run(&["send", "Ana", text, "--json"]).json()["message"]["id"].clone();
    let _watch = Running(watch);
    for line in lines.map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["data"]["text"] == text {
            assert_eq!(event["data"]["reply_to"], sent);
            return;
        }
    }
    // It may have come before the watch began.
    let log = bob.run(&["log", "Ana", "--json"]).json();
    let echoed = log["messages"].as_array().unwrap().iter().any(|one| one["text"] == text && one["from"] != "me");
    assert!(echoed, "{log}");
}

#[test]
fn the_shell_bot_answers() {
    let pair = Pair::new(&[]);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_starling")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut bot =
        pair.ana.command(&["watch", "--types", "message.received", "--exec", &docs("echo.sh"), "--since", "0"]);
    let _bot = Running(bot.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap());
    let trap = pair.ana.path("trap");
    is_echoed(&pair.bob, &format!("quote \"me\" $(touch {0}) `touch {0}`; 'x'", trap.display()));
    assert!(!trap.exists(), "a stranger's text was run");
    is_echoed(&pair.bob, "again\nand again");
}

#[test]
fn the_python_bot_answers_and_gives_no_answer_twice() {
    let pair = Pair::new(&[]);
    let state = pair.ana.path("echo.seq");
    std::fs::write(&state, "0").unwrap();
    let start = || {
        let mut bot = Command::new("python3");
        bot.arg(docs("echo.py")).arg(pair.ana.data()).arg(&state).stdout(Stdio::null()).stderr(Stdio::inherit());
        Running(bot.spawn().unwrap())
    };
    let bot = start();
    is_echoed(&pair.bob, "one");
    drop(bot);
    // As if it had been killed before it wrote down how far it was.
    std::fs::write(&state, "0").unwrap();
    let _bot = start();
    is_echoed(&pair.bob, "two");
    let log = pair.bob.run(&["log", "Ana", "--json"]).json();
    let ones = log["messages"].as_array().unwrap().iter().filter(|one| one["text"] == "one").count();
    assert_eq!(ones, 2, "the question, and one answer");
}
