//! Two people make sure of each other: number, words, code, and the mark that stays.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::Home;
use crate::talk::Pair;

/// A picture of a QR code, as a screen shot of it: four pixels a module.
fn picture(home: &Home, file: &str, text: &str) -> PathBuf {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).unwrap();
    let (modules, scale, margin) = (code.width(), 4, 4);
    let side = (modules + 2 * margin) * scale;
    let mut grey = vec![255; side * side];
    for (index, color) in code.to_colors().into_iter().enumerate() {
        let (left, top) = ((index % modules + margin) * scale, (index / modules + margin) * scale);
        for pixel in 0..scale * scale {
            grey[(top + pixel / scale) * side + left + pixel % scale] = color.select(0, 255);
        }
    }
    let path = home.path(file);
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&grey).unwrap();
    path
}

fn shown(home: &Home, name: &str) -> Value {
    home.run(&["verify", name, "--json"]).json()
}

#[test]
fn two_people_compare_mark_and_keep_the_mark_through_a_restart() {
    let mut pair = Pair::new(&[]);
    let (of_ana, of_bob) = (shown(&pair.ana, "Bob"), shown(&pair.bob, "Ana"));
    assert_eq!((&of_ana["number"], &of_ana["words"]), (&of_bob["number"], &of_bob["words"]));
    let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let (number, words) = (strings(&of_ana["number"]), strings(&of_ana["words"]));
    assert!(number.len() == 12 && number.iter().all(|group| group.len() == 5));
    assert_eq!((words.len(), &of_ana["verified_at"]), (8, &Value::Null));
    assert!(of_ana["qr_svg"].as_str().unwrap().contains("<svg"));
    assert_ne!(of_ana["code"], of_bob["code"], "each shows a code of their own");

    let text = pair.ana.run(&["verify", "Bob", "--qr"]).ok();
    assert!(text.starts_with(&format!("Number    {}\n", number[..4].join(" "))), "{text}");
    assert!(
        text.contains(&format!("Words     {}\n", words.join(" "))) && text.contains("Verified  not yet\n"),
        "{text}"
    );
    assert!(text.lines().count() > 25, "the code as a picture");

    assert_eq!(pair.ana.run(&["verify", "Bob", "--mark"]).ok(), "Bob is verified.\n");
    assert!(shown(&pair.ana, "Bob")["verified_at"].is_string());
    assert!(pair.ana.run(&["contacts"]).ok().starts_with("Bob  ready, verified  heard "));
    pair.ana.run(&["stop"]).ok();
    pair.ana_node = pair.ana.start(&pair.network);
    let show = pair.ana.run(&["contacts", "show", "Bob"]).ok();
    assert!(show.contains("\nVerified ") && !show.contains("not yet"), "{show}");
    assert_eq!(pair.ana.run(&["verify", "Bob", "--unmark"]).ok(), "Bob is not verified any more.\n");
    assert_eq!(pair.ana.run(&["contacts", "show", "Bob", "--json"]).json()["contact"]["verified_at"], Value::Null);
    pair.ana.run(&["verify", "Zed"]).fails(5, "Nobody here is called 'Zed'.");
    let said = pair.ana.run(&["contacts", "trust", "Bob"]).ok();
    assert_eq!(said, "Bob has one device list: there is nothing to decide.\n");
}

#[test]
fn a_scanned_code_marks_only_if_it_matches() {
    let pair = Pair::new(&[]);
    let code = |home: &Home, name: &str| shown(home, name)["code"].as_str().unwrap().to_owned();
    let (own, theirs) = (code(&pair.ana, "Bob"), code(&pair.bob, "Ana"));
    let scan = |path: &PathBuf| pair.ana.run(&["verify", "Bob", "--scan", path.to_str().unwrap()]);
    let marked = || shown(&pair.ana, "Bob")["verified_at"].is_string();

    scan(&picture(&pair.ana, "own.png", &own)).fails(2, "This is your own code.");
    // Bob's code about somebody else: the last letters are of the key that he has of Ana.
    let mut other = theirs.clone();
    other.replace_range(110.., "AAAAAAAAAA");
    let differs = scan(&picture(&pair.ana, "differs.png", &other)).fails(4, "They differ: you and Bob");
    assert!(differs.err.contains("starling verify Bob"), "{}", differs.err);
    scan(&picture(&pair.ana, "invite.png", "STARLING:ABC")).fails(2, "is no verification code");
    let cut = picture(&pair.ana, "cut.png", &theirs[..100]);
    scan(&cut).fails(2, "The verification code is damaged.");
    let empty = pair.ana.path("empty.png");
    std::fs::write(&empty, "GIF89a").unwrap();
    scan(&empty).fails(2, "is neither a PNG nor a JPEG picture.");
    scan(&pair.ana.path("absent.png")).fails(2, "cannot be read: ");
    let half = picture(&pair.ana, "half.png", &theirs);
    let bytes = std::fs::read(&half).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    scan(&half).fails(2, "half.png cannot be read: ");
    assert!(!marked(), "nothing but a match marks");

    assert_eq!(scan(&picture(&pair.ana, "theirs.png", &theirs)).ok(), "Bob is verified.\n");
    assert!(marked());
}

#[test]
fn a_new_account_under_an_old_name_is_asked_about_and_loses_the_mark() {
    let pair = Pair::new(&[]);
    pair.bob.run(&["verify", "Ana", "--mark"]).ok();
    let new = Home::new();
    let _new_node = new.start(&pair.network);
    new.run(&["id", "--name", "Ana"]).ok();
    let link = new.run(&["invite", "--for", "Bob"]).ok();
    let asked = pair.bob.run(&["add", link.trim()]).fails(4, "Someone else, or Ana with a new account?");
    assert!(asked.err.contains("--replace"), "{}", asked.err);
    pair.bob.run(&["add", link.trim(), "--replace", "Zed"]).fails(5, "Nobody here is called 'Zed'.");
    let said = pair.bob.run(&["add", link.trim(), "--replace", "Ana", "--wait", "ready", "--timeout", "60s"]).ok();
    assert!(said.contains("ready. ("), "{said}");
    let list = pair.bob.run(&["contacts"]).ok();
    assert!(list.starts_with("Ana  ready, verified no more  "), "{list}");
    assert!(pair.bob.run(&["status"]).ok().contains("! Ana was verified, and has a new account since."));
    assert!(pair.bob.run(&["log", "Ana"]).ok().contains("the first one"), "the history stays");
    pair.bob.run(&["send", "Ana", "is that you?", "--wait", "delivered"]).ok();
    pair.bob.run(&["verify", "Ana", "--mark"]).ok();
    assert!(!pair.bob.run(&["status"]).ok().contains("was verified"));
}
