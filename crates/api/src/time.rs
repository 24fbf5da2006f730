//! Times as they stand in the JSON: RFC 3339, UTC, milliseconds.

use std::fmt;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, ms since 1970 UTC; in JSON `"2026-11-23T14:02:11.208Z"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// As a timestamp; a moment after the year 9999 becomes the last that RFC 3339 can write.
    pub fn timestamp(self) -> Timestamp {
        let unix_ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::MAX)
    }

    /// Reads an RFC 3339 time; any offset is allowed, and moments before 1970 count as 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp: Timestamp = text.parse().ok()?;
        Some(Self(u64::try_from(timestamp.as_millisecond()).unwrap_or(0)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a time like 2026-11-23T14:02:11.208Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(serde_json::to_string(&Time(1_795_442_531_208)).unwrap(), r#""2026-11-23T14:02:11.208Z""#);
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time(1_000).to_string(), "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn a_time_is_read_with_any_offset_and_refused_when_it_is_none() {
        assert_eq!(Time::parse("2026-11-23T15:02:11.208+01:00"), Some(Time(1_795_442_531_208)));
        assert_eq!(Time::parse("1969-12-31T00:00:00Z"), Some(Time(0)));
        assert_eq!(Time::parse("yesterday"), None);
        assert!(serde_json::from_str::<Time>("5").is_err());
    }

    #[test]
    fn a_moment_that_no_calendar_reaches_is_still_written() {
        assert!(Time(u64::MAX).to_string().starts_with("9999-12-"));
    }
}
