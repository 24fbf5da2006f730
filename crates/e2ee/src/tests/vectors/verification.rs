//! Safety numbers, words, and the code to scan. SPEC: B18.

use serde_json::{Value, json};

use super::identity::identity_input;
use super::{Case, Family, Outcome, array, hex, sample, sample_hex};
use crate::primitives::signature::SignatureKey;
use crate::tests::world::Scripted;
use crate::verification::{
    Comparison, VerificationCode, number_hash, safety_number, safety_words, word_hash, word_indexes,
};

pub(super) const NUMBER: Family =
    Family { name: "safety_number", section: "B18", cases: number_cases, run: run_number };
pub(super) const CODE: Family = Family { name: "verification_code", section: "B18", cases: code_cases, run: run_code };

fn account(name: &str) -> Value {
    let seed: [u8; 32] = array(&identity_input(name)["account_seed"]);
    hex(SignatureKey::generate(&mut Scripted::new(&seed)).public())
}

fn number_cases() -> Vec<Case> {
    let (alice, bob) = (account("Alice"), account("Bob"));
    let (least, most) = (hex([0; 32]), hex([0xff; 32]));
    vec![
        Case::valid("as Alice asks", json!({ "own": alice, "theirs": bob })),
        Case::valid("as Bob asks: the same", json!({ "own": bob, "theirs": alice })),
        Case::valid("the order is that of the bytes", json!({ "own": most, "theirs": least })),
    ]
}

fn run_number(input: &Value) -> Option<Outcome> {
    let (own, theirs): ([u8; 32], [u8; 32]) = (array(&input["own"]), array(&input["theirs"]));
    let (low, high) = if own < theirs { (own, theirs) } else { (theirs, own) };
    let words = word_hash(&own, &theirs);
    Some(Outcome {
        steps: json!({
            "low": hex(low),
            "high": hex(high),
            "low_first_hash": hex(number_hash(&low, 1)),
            "low_second_hash": hex(number_hash(&low, 2)),
            "low_hash": hex(number_hash(&low, 5_200)),
            "high_hash": hex(number_hash(&high, 5_200)),
            "word_hash": hex(words),
            "word_indexes": word_indexes(&words),
        }),
        expect: json!({ "number": safety_number(&own, &theirs), "words": safety_words(&own, &theirs) }),
    })
}

fn code_cases() -> Vec<Case> {
    let (alice, bob, carol) = (account("Alice"), account("Bob"), account("Carol"));
    let key = |account: &Value| array::<32>(account);
    let text = |maker: &Value, about: &Value| VerificationCode { maker: key(maker), about: key(about) }.to_text();
    let eve = sample_hex::<32>("Eve A");
    let input = |text: String| json!({ "own": alice, "theirs": bob, "other_contact": carol, "text": text });
    let genuine = text(&bob, &alice);
    let newer = "STARLING-VERIFY:AI".to_owned();
    vec![
        Case::valid("Bob's code for Alice", input(genuine.clone())),
        Case::valid("in small letters, with a line end", input(genuine.to_ascii_lowercase() + "\n")),
        Case::valid("Bob has another key for Alice", input(text(&bob, &eve))),
        Case::valid("Alice has another key for Bob", input(text(&eve, &alice))),
        Case::valid("both have", input(text(&eve, &hex(sample::<32>("Mallory A"))))),
        Case::valid("Carol's code", input(text(&carol, &alice))),
        Case::valid("Alice's own code", input(text(&alice, &bob))),
        Case::invalid("not_a_code", "an invite", input(format!("STARLING:{}", &genuine[16..]))),
        Case::invalid("damaged", "cut off", input(genuine[..119].to_owned())),
        Case::invalid("damaged", "a byte too much", input(format!("{genuine}AA"))),
        Case::invalid("damaged", "no letter of base32", input(genuine.replace(':', ":0"))),
        Case::invalid("newer_version", "version 2", input(newer)),
        Case::valid("other spaces of Unicode around it", input(format!("\u{a0}\u{3000}{genuine}\u{2028}"))),
        Case::invalid("not_a_code", "a letter that is S in capitals outside ASCII", {
            input(genuine.replacen('S', "\u{17f}", 1))
        }),
        Case::invalid("not_a_code", "513 bytes", input(format!("{genuine:A<513}"))),
        Case::invalid("damaged", "512 bytes", input(format!("{genuine:A<512}"))),
        Case::invalid("damaged", "nothing after the prefix", input(genuine[..16].to_owned())),
        Case::invalid("damaged", "version 0", input(genuine.replacen(":AG", ":AC", 1))),
        Case::invalid(
            "damaged",
            "version 2, but bits left over that are not 0",
            input("STARLING-VERIFY:AJ".to_owned()),
        ),
        Case::invalid(
            "newer_version",
            "version 2 of the length of version 1",
            input(genuine.replacen(":AG", ":AK", 1)),
        ),
    ]
}

fn run_code(input: &Value) -> Option<Outcome> {
    let code = VerificationCode::parse(input["text"].as_str().expect("a text")).ok()?;
    let (own, theirs, other): ([u8; 32], [u8; 32], [u8; 32]) =
        (array(&input["own"]), array(&input["theirs"]), array(&input["other_contact"]));
    let comparison = match code.compare(&own, &theirs, |account| *account == other || *account == theirs) {
        Comparison::Match => "match",
        Comparison::Differs => "differs",
        Comparison::OtherContact => "other_contact",
        Comparison::Own => "own",
    };
    Some(Outcome {
        steps: json!({ "maker": hex(code.maker), "about": hex(code.about) }),
        expect: json!({ "comparison": comparison, "text": code.to_text() }),
    })
}
