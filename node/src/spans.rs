//! Lengths of time, as people type them (`30s`, `7d`) and as they read them, and amounts.

use std::time::Duration;

use starling_messenger::EXPIRES_S_MAX;

/// Longest that can be typed: a hundred years.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// Reads `30s`, `500ms`, `5m`, `5min`, `2h`, `7d`, `1w`.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wanted = || format!("'{text}' is not a length of time; write 30s, 5min, 2h, 7d or 1w");
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wanted)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let seconds_each = match unit.trim() {
        "ms" => return Ok(Duration::from_millis(number.min(SECONDS_MAX * 1_000))),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wanted()),
    };
    match number.checked_mul(seconds_each) {
        Some(seconds) if seconds <= SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("'{text}' is too long")),
    }
}

/// Reads how long messages are kept, in seconds: a length of time, or `never`, which is 0.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse_expiry(text: &str) -> Result<u32, String> {
    if text == "never" {
        return Ok(0);
    }
    let seconds = parse(text)?.as_secs();
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=EXPIRES_S_MAX) => Ok(seconds),
        _ => Err("a message disappears after a second at the least and 365 days at the most; or never".to_owned()),
    }
}

/// `0.21 s`, `1.1 s`, `18 s`: for things that just happened.
pub(crate) fn precise(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else {
        rough(span)
    }
}

/// `18 s`, `4 min`, `3 h 12 min`, `2 days`.
pub(crate) fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |first: u64, first_unit: &str, second: u64, second_unit: &str| {
        if second == 0 {
            format!("{first} {first_unit}")
        } else {
            format!("{first} {first_unit} {second} {second_unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", if seconds < 600 { seconds % 60 } else { 0 }, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `+0.1 s`, `-3 h 12 min`: this computer's clock against the others'.
pub(crate) fn offset(offset_ms: i64) -> String {
    let sign = if offset_ms < 0 { '-' } else { '+' };
    let span = Duration::from_millis(offset_ms.unsigned_abs());
    if span < Duration::from_secs(60) {
        format!("{sign}{:.1} s", span.as_secs_f64())
    } else {
        format!("{sign}{}", rough(span))
    }
}

/// `1 peer`, `2 peers`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {noun}{end}", thousands(number))
}

/// `1,234,567`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `4.1 MB`, `6 GB`: steps of 1,024.
pub(crate) fn bytes(number: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let tenths = (u128::from(number) * 10 + u128::from(unit / 2)) / u128::from(unit);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        if whole >= 10 || tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
    };
    match number {
        0..1_024 => format!("{number} B"),
        1_024..1_048_576 => scaled(1 << 10, "KB"),
        1_048_576..1_073_741_824 => scaled(1 << 20, "MB"),
        _ => scaled(1 << 30, "GB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5min"), parse("5m"));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse("1w"), parse("7d"));
        for text in ["", "30", "s", "-1s", "1.5h", "7 parsecs", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(["never", "1s", "365d"].map(parse_expiry), [Ok(0), Ok(1), Ok(31_536_000)]);
        assert!(["500ms", "0s", "366d", "soon"].map(parse_expiry).iter().all(Result::is_err));
        assert_eq!(parse("99999999w"), Err("'99999999w' is too long".to_owned()));
    }

    #[test]
    fn says_spans_as_people_do() {
        let ms = Duration::from_millis;
        assert_eq!(precise(ms(210)), "0.21 s");
        assert_eq!(precise(ms(1_120)), "1.1 s");
        assert_eq!(precise(ms(18_400)), "18 s");
        assert_eq!(rough(ms(130_000)), "2 min 10 s");
        assert_eq!(rough(ms(11_520_000)), "3 h 12 min");
        assert_eq!(rough(ms(172_800_000)), "2 days");
        assert_eq!(rough(ms(90_000_000)), "1 day");
        assert_eq!((offset(104), offset(-11_520_000)), ("+0.1 s".to_owned(), "-3 h 12 min".to_owned()));
    }

    #[test]
    fn says_amounts_as_people_do() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(2_048), "2,048");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(12_288), "12 KB");
        assert_eq!(bytes(4_299_161), "4.1 MB");
        assert_eq!(bytes(6_442_450_944), "6 GB");
    }
}
