//! Range-based set reconciliation, negentropy v1: pure functions over an [`ItemSet`]. SPEC: B13.
//!
//! The initiator sends fingerprints of 16 ranges; the responder answers each that differs with
//! fingerprints of its 16 parts, or with the ids themselves where they are fewer than 32; and so on.
//! Each message trip narrows a difference by 256. All state is in the messages, so a function takes the set
//! and the peer's message and gives the answer.
//!
//! Hostile messages: ranges never descend, so one message makes us sum each item at most three times;
//! nothing is allocated by an announced number, only by bytes that came; an answer never exceeds
//! `limit_bytes`: what does not fit is left as one fingerprint of all the rest, for the next round.

use std::collections::BTreeSet;
use std::ops::Range;

use super::encoding::{Bound, FINGERPRINT_BYTES, ID_BYTES, NegentropyError, Payload, Reader, Writer};
use super::set::{Item, ItemSet};

/// Parts into which a range that differs is cut.
const BUCKETS: usize = 16;
/// A range of fewer items is sent as its ids.
const IDS_BELOW: usize = 2 * BUCKETS;
/// Bytes of the longest end of a message: a fingerprint up to infinity.
const TAIL_BYTES: usize = 3 + FINGERPRINT_BYTES;
/// Bytes of the longest header of an id list: bound, mode, count.
const IDS_HEADER_BYTES: usize = 10 + 1 + ID_BYTES + 1 + 10;
/// Least limit of a message: any one answer to one range fits, so each round gets further.
pub const LIMIT_BYTES_MIN: usize = 4_096;
/// Excluded spans at most: the end of any message has room to go around so many.
const EXCLUDED_SPANS_MAX: usize = 64;
/// Bytes of a skip over an excluded span and of the fingerprint before it.
const EXCLUDED_SPAN_BYTES: usize = (10 + 1 + 1) + (10 + 1 + 1 + FINGERPRINT_BYTES);
/// Up to so many excluded spans, the first message cuts the pieces between them into buckets.
const SPLIT_AROUND_MAX: usize = 8;

/// A message of the initiator and what it asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The message.
    pub message: Vec<u8>,
    /// Index ranges of the initiator's set about which it asks. All others are settled.
    pub open: Vec<Range<usize>>,
}

/// What the initiator learns from an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Indices of own items that the responder lacks.
    pub have: Vec<usize>,
    /// Ids that the responder says it has and the initiator lacks, oldest timestamps first.
    pub need: Vec<[u8; ID_BYTES]>,
    /// What to send next; `None` when all is settled.
    pub next: Option<Query>,
}

/// Timestamps about which an initiator does not ask, as spans `first..beyond`, ascending, with gaps.
#[derive(Debug, Clone, Default)]
pub struct Excluded(Vec<(u64, u64)>);

impl Excluded {
    /// These timestamps; if they form more than 64 spans, the highest 64.
    pub fn new(timestamps: &BTreeSet<u64>) -> Self {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for timestamp in timestamps {
            let Some(beyond) = timestamp.checked_add(1) else { break };
            match spans.last_mut() {
                Some((_, end)) if *end == *timestamp => *end = beyond,
                _ => spans.push((*timestamp, beyond)),
            }
        }
        Self(spans.split_off(spans.len().saturating_sub(EXCLUDED_SPANS_MAX)))
    }

    /// Those that reach into the range from `begin` to `end`, cut to it.
    fn within(&self, begin: Bound, end: Bound) -> impl Iterator<Item = (Bound, Bound)> {
        let spans = self.0.iter().map(|(first, beyond)| (Bound::at(*first), Bound::at(*beyond)));
        let cut = spans.map(move |(first, beyond)| (first.max(begin), beyond.min(end)));
        cut.filter(|(first, beyond)| first < beyond)
    }
}

/// The first message of an initiator over `set`, which asks about all but the excluded timestamps.
pub fn initial(set: &ItemSet, excluded: &Excluded) -> Query {
    let mut writer = Writer::new();
    let style = if excluded.0.len() <= SPLIT_AROUND_MAX { Style::Split } else { Style::Whole };
    let all = Part { begin: Bound::START, end: Bound::END, indices: 0..set.items().len() };
    let open = ask_around(&mut writer, set, all, excluded, style);
    Query { message: writer.into_bytes(), open }
}

/// The responder's answer to `query`, at most `limit_bytes` (at least [`LIMIT_BYTES_MIN`]).
///
/// # Errors
/// [`NegentropyError`]: the initiator's fault.
pub fn answer(set: &ItemSet, query: &[u8], limit_bytes: usize) -> Result<Vec<u8>, NegentropyError> {
    let nothing = Excluded::default();
    let mut pass = Pass::new(set, &nothing, limit_bytes);
    let mut reader = Reader::new(query)?;
    while let Some(range) = reader.next_range()? {
        let indices = pass.indices(&range.end);
        let fits = match range.payload {
            Payload::Skip => pass.settle(),
            Payload::Fingerprint(theirs) => pass.compare(indices.clone(), &range.end, &theirs),
            // Whatever the initiator has: only it asks, so it is told all that is here.
            Payload::Ids(_) => pass.list(indices.clone(), &range.end),
        };
        if !fits {
            pass.leave_rest();
            break;
        }
        pass.go_to(indices.end, range.end);
    }
    Ok(pass.writer.into_bytes())
}

/// What the initiator makes of the responder's `answer`; its next message has at most `limit_bytes` (at
/// least [`LIMIT_BYTES_MIN`]) and goes around the same excluded timestamps as the first, since a responder
/// whose answer did not fit knows nothing of them. Up to `answer.len()` / 32 ids come out as needed.
///
/// # Errors
/// [`NegentropyError`]: the responder's fault.
pub fn advance(set: &ItemSet, answer: &[u8], excluded: &Excluded, limit_bytes: usize) -> Result<Step, NegentropyError> {
    let mut pass = Pass::new(set, excluded, limit_bytes);
    let mut step = Step::default();
    let mut reader = Reader::new(answer)?;
    while let Some(range) = reader.next_range()? {
        let indices = pass.indices(&range.end);
        let fits = match range.payload {
            Payload::Skip => pass.settle(),
            Payload::Fingerprint(theirs) => pass.compare(indices.clone(), &range.end, &theirs),
            Payload::Ids(theirs) => {
                step.tell_apart(set, indices.clone(), theirs);
                pass.settle()
            }
        };
        if !fits {
            pass.leave_rest();
            break;
        }
        pass.go_to(indices.end, range.end);
    }
    if !pass.writer.is_blank() {
        step.next = Some(Query { message: pass.writer.into_bytes(), open: pass.open });
    }
    Ok(step)
}

impl Step {
    fn tell_apart(&mut self, set: &ItemSet, indices: Range<usize>, theirs: &[[u8; ID_BYTES]]) {
        let mut lacking: BTreeSet<&[u8; ID_BYTES]> = theirs.iter().collect();
        for (index, item) in indices.clone().zip(set.slice(indices)) {
            if !lacking.remove(&item.id) {
                self.have.push(index);
            }
        }
        // In the order of the list, which is that of the hours.
        self.need.extend(theirs.iter().filter(|id| lacking.remove(id)));
    }
}

/// One way through a peer's message, writing the answer.
#[derive(Debug)]
struct Pass<'a> {
    set: &'a ItemSet,
    excluded: &'a Excluded,
    room_bytes: usize,
    writer: Writer,
    /// Where the current range begins.
    begin: Bound,
    begin_index: usize,
    /// Ranges since the last written bound are settled; a skip for them is written only when something
    /// follows.
    skipping: bool,
    /// The last written bound, and the index of the first item beyond it.
    written: Bound,
    written_index: usize,
    open: Vec<Range<usize>>,
}

impl<'a> Pass<'a> {
    fn new(set: &'a ItemSet, excluded: &'a Excluded, limit_bytes: usize) -> Self {
        let tail_bytes = TAIL_BYTES.saturating_add(excluded.0.len().saturating_mul(EXCLUDED_SPAN_BYTES));
        Self {
            set,
            excluded,
            room_bytes: limit_bytes.max(LIMIT_BYTES_MIN).saturating_sub(tail_bytes),
            writer: Writer::new(),
            begin: Bound::START,
            begin_index: 0,
            skipping: false,
            written: Bound::START,
            written_index: 0,
            open: Vec::new(),
        }
    }

    fn indices(&self, end: &Bound) -> Range<usize> {
        self.begin_index..self.set.lower_bound(self.begin_index, end)
    }

    fn go_to(&mut self, index: usize, end: Bound) {
        self.begin_index = index;
        self.begin = end;
    }

    /// Nothing is to be said about the current range. `true`: that always fits.
    fn settle(&mut self) -> bool {
        self.skipping = true;
        true
    }

    /// Settles the range when fingerprints agree, else splits it; `false` when that does not fit.
    fn compare(&mut self, indices: Range<usize>, end: &Bound, theirs: &[u8; FINGERPRINT_BYTES]) -> bool {
        if self.set.fingerprint(indices.clone()) == *theirs {
            return self.settle();
        }
        let mark = self.writer.mark();
        self.write_skip();
        let touched = self.excluded.within(self.begin, *end).next().is_some();
        let style = if touched { Style::Whole } else { Style::Split };
        let part = Part { begin: self.begin, end: *end, indices: indices.clone() };
        let open = ask_around(&mut self.writer, self.set, part, self.excluded, style);
        if self.writer.len() > self.room_bytes {
            self.writer.go_back(mark);
            return false;
        }
        self.open.extend(open);
        self.wrote(*end, indices.end);
        true
    }

    /// Lists the ids of the range, or as many of them as fit; `false` when that is not all.
    fn list(&mut self, indices: Range<usize>, end: &Bound) -> bool {
        let mark = self.writer.mark();
        self.write_skip();
        let room_bytes = self.room_bytes.saturating_sub(self.writer.len()).saturating_sub(IDS_HEADER_BYTES);
        let fitting = indices.start.saturating_add(room_bytes / ID_BYTES);
        if indices.end <= fitting {
            self.writer.ids(end, self.set.slice(indices.clone()));
            self.wrote(*end, indices.end);
            return true;
        }
        match self.set.items().get(fitting) {
            Some(first_beyond) if fitting > indices.start => {
                let end = Bound::before(first_beyond);
                self.writer.ids(&end, self.set.slice(indices.start..fitting));
                self.wrote(end, fitting);
            }
            _ => self.writer.go_back(mark),
        }
        false
    }

    fn write_skip(&mut self) {
        if self.skipping {
            self.writer.skip(&self.begin);
        }
    }

    fn wrote(&mut self, end: Bound, index: usize) {
        self.skipping = false;
        self.written = end;
        self.written_index = index;
    }

    /// Ends the message with a fingerprint of everything beyond the last written bound.
    fn leave_rest(&mut self) {
        let indices = self.written_index..self.set.items().len();
        let rest = Part { begin: self.written, end: Bound::END, indices };
        self.open.extend(ask_around(&mut self.writer, self.set, rest, self.excluded, Style::Whole));
    }
}

/// How a range is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// By its ids, or by the fingerprints of its buckets.
    Split,
    /// By one fingerprint.
    Whole,
}

/// A range between two bounds, and the indices of our items in it.
#[derive(Debug)]
struct Part {
    begin: Bound,
    end: Bound,
    indices: Range<usize>,
}

/// Asks about a part, leaving out what is excluded; gives the indices of what was asked about.
fn ask_around(writer: &mut Writer, set: &ItemSet, part: Part, excluded: &Excluded, style: Style) -> Vec<Range<usize>> {
    let mut open = Vec::new();
    let (mut begin, mut lower) = (part.begin, part.indices.start);
    let mut piece = |writer: &mut Writer, indices: Range<usize>, end: &Bound| {
        match style {
            Style::Split => split(writer, set, indices.clone(), end),
            Style::Whole => writer.fingerprint(end, &set.fingerprint(indices.clone())),
        }
        open.push(indices);
    };
    for (first, beyond) in excluded.within(part.begin, part.end) {
        if first > begin {
            let upper = set.lower_bound(lower, &first);
            piece(writer, lower..upper, &first);
        }
        writer.skip(&beyond);
        lower = set.lower_bound(lower, &beyond);
        begin = beyond;
    }
    if begin < part.end || begin == part.begin {
        piece(writer, lower..part.indices.end, &part.end);
    }
    open
}

/// Writes a range as its ids when they are few, else as the fingerprints of its parts.
fn split(writer: &mut Writer, set: &ItemSet, indices: Range<usize>, end: &Bound) {
    let count = indices.len();
    if count < IDS_BELOW {
        return writer.ids(end, set.slice(indices));
    }
    let mut lower = indices.start;
    for bucket in 0..BUCKETS {
        let extra = usize::from(bucket < count % BUCKETS);
        let upper = lower.saturating_add(count / BUCKETS).saturating_add(extra);
        let bound = match (set.items().get(upper.saturating_sub(1)), set.items().get(upper)) {
            (Some(last), Some(next)) if upper != indices.end => Bound::between(last, next),
            _ => *end,
        };
        writer.fingerprint(&bound, &set.fingerprint(lower..upper));
        lower = upper;
    }
}

/// Fuzz entry point: `data` as a message, to a responder and to an initiator with the same small set.
/// Nothing may panic, answers stay within the limit, and our own next message is one that we can read.
pub fn fuzz(data: &[u8]) {
    let item = |n: u64| {
        let id = *blake3::hash(&n.to_le_bytes()).as_bytes();
        Item { timestamp: n / 50, id }
    };
    let set = ItemSet::new((0..400).map(item).collect());
    let nothing = Excluded::default();
    let some = Excluded::new(&[0, 3, 4, 9].into());
    if let Ok(message) = answer(&set, data, LIMIT_BYTES_MIN) {
        assert!(message.len() <= LIMIT_BYTES_MIN, "an answer of {} bytes", message.len());
        assert!(advance(&set, &message, &nothing, LIMIT_BYTES_MIN).is_ok(), "our own answer is unreadable");
    }
    for excluded in [nothing, some] {
        let Ok(step) = advance(&set, data, &excluded, LIMIT_BYTES_MIN) else { continue };
        assert!(step.need.len() <= data.len() / ID_BYTES, "more ids than bytes");
        let next = step.next.map(|query| query.message).unwrap_or_default();
        assert!(next.len() <= LIMIT_BYTES_MIN, "a query of {} bytes", next.len());
        assert!(next.is_empty() || answer(&set, &next, LIMIT_BYTES_MIN).is_ok(), "our own query is unreadable");
    }
}
