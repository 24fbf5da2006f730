//! The event stream as the client reads it: one JSON object a line, until the node stops.

use std::io::{BufRead as _, BufReader, Read as _};

use ureq::{Body, BodyReader};

use crate::client::{ClientError, broken, not_understood};
use crate::event::Event;

/// Bytes of one line at most: the largest text, escaped, and room.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// An event, and the line that carried it, for those who pass it on as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct EventLine {
    /// The line, without its end.
    pub text: String,
    /// What it says.
    pub event: Event,
}

/// Events as they happen. Ends (`None`) when the node says that it stops; any other end is an error, after
/// which nothing more comes. To go on, ask for the events since [`Self::last_seq`].
pub struct EventStream {
    reader: BufReader<BodyReader<'static>>,
    url: String,
    last_seq: Option<u64>,
    ended: bool,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventStream({}, after {:?})", self.url, self.last_seq)
    }
}

impl EventStream {
    pub(crate) fn new(body: Body, url: String) -> Self {
        let reader = BufReader::new(body.into_with_config().limit(u64::MAX).reader());
        Self { reader, url, last_seq: None, ended: false }
    }

    /// Number of the last event that came.
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    fn read(&mut self) -> Result<Option<EventLine>, ClientError> {
        let mut text = String::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut text);
        let bytes = read.map_err(|error| broken(&self.url, ureq::Error::from(error)))?;
        if bytes == 0 {
            return Ok(None);
        }
        if !text.ends_with('\n') {
            return Err(ClientError::Disconnected("within an event".to_owned()));
        }
        text.truncate(text.trim_end().len());
        let event: Event = serde_json::from_str(&text).map_err(|error| not_understood(&self.url, &text, &error))?;
        self.last_seq = Some(event.seq);
        Ok(Some(EventLine { text, event }))
    }
}

impl Iterator for EventStream {
    type Item = Result<EventLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.read().transpose();
        self.ended = !matches!(line, Some(Ok(_)));
        line
    }
}
