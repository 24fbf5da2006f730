//! Times for people: the API's moments in the local time zone, as short as they are clear.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use starling_api::Time;

use super::failure::Failure;
use super::spans;

/// `14:02` today, `21 Nov 14:02` this year, `21 Nov 2025 14:02` before or after.
pub(crate) fn clock(at: Time) -> String {
    clock_at(&at.timestamp().to_zoned_datetime(TimeZone::system()), &ZonedDateTime::now())
}

fn clock_at(at: &ZonedDateTime, now: &ZonedDateTime) -> String {
    let format = if at.date() == now.date() {
        "%H:%M"
    } else if at.year() == now.year() {
        "%-d %b %H:%M"
    } else {
        "%-d %b %Y %H:%M"
    };
    at.strftime(format).to_string()
}

/// `7 Dec`, `7 Dec 2027` in another year.
pub(crate) fn day(at: Time) -> String {
    let (zoned, now) = (at.timestamp().to_zoned_datetime(TimeZone::system()), ZonedDateTime::now());
    zoned.strftime(if zoned.year() == now.year() { "%-d %b" } else { "%-d %b %Y" }).to_string()
}

/// `14:02:11.208`, with the day before it when that is not today.
pub(crate) fn precise(at: Time) -> String {
    let (zoned, now) = (at.timestamp().to_zoned_datetime(TimeZone::system()), ZonedDateTime::now());
    let format = if zoned.date() == now.date() { "%H:%M:%S%.3f" } else { "%-d %b %H:%M:%S%.3f" };
    zoned.strftime(format).to_string()
}

/// Now, by this computer's clock.
pub(crate) fn now() -> Time {
    Time(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0))
}

/// How long ago that was; zero for the future.
pub(crate) fn age(at: Time) -> Duration {
    Duration::from_millis(now().0.saturating_sub(at.0))
}

/// How long until then; zero for the past.
pub(crate) fn until(at: Time) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now().0))
}

/// `2 days ago`, or `just now`.
pub(crate) fn ago(at: Time) -> String {
    let age = age(at);
    if age < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", spans::rough(age)) }
}

/// Reads `--since`: a time (`2026-11-23T14:00:00Z`), a local day (`2026-11-23`), or a span before now (`2h`).
///
/// # Errors
/// It is none of these.
pub(crate) fn since(text: &str) -> Result<Time, Failure> {
    if let Ok(span) = spans::parse(text) {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(Time(now().0.saturating_sub(span_ms)));
    }
    let day = || {
        let zoned = text.parse::<jiff::civil::Date>().ok()?.to_zoned_datetime(TimeZone::system()).ok()?;
        Some(Time(u64::try_from(zoned.timestamp().as_millisecond()).unwrap_or(0)))
    };
    Time::parse(text).or_else(day).ok_or_else(|| {
        let forms = "write 2026-11-23, 2026-11-23T14:00:00Z, or 2h for the last two hours";
        Failure::bad_input(format!("'{text}' is not a time; {forms}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_short_as_they_are_clear() {
        let zoned = |text: &str| text.parse::<Timestamp>().unwrap().to_zoned_datetime(TimeZone::UTC);
        let now = zoned("2026-11-23T18:00:00Z");
        assert_eq!(clock_at(&zoned("2026-11-23T14:02:11.208Z"), &now), "14:02");
        assert_eq!(clock_at(&zoned("2026-11-21T14:02:11Z"), &now), "21 Nov 14:02");
        assert_eq!(clock_at(&zoned("2025-12-07T14:02:11Z"), &now), "7 Dec 2025 14:02");
    }

    #[test]
    fn since_takes_times_days_and_spans() {
        assert_eq!(since("2026-11-23T14:00:00Z").unwrap().to_string(), "2026-11-23T14:00:00.000Z");
        assert!(age(since("2h").unwrap()) >= Duration::from_secs(7_200));
        assert!(since("2026-11-23").is_ok());
        assert!(since("yesterday-ish").is_err());
        assert_eq!(age(Time(u64::MAX)), Duration::ZERO);
        assert!(until(Time(u64::MAX)) > Duration::ZERO);
    }
}
