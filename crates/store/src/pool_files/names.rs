//! Names of the pool's files: `topic-epoch-class.kind`, and nothing else.

use std::path::{Path, PathBuf};

use starling_wire::envelope::{Class, EnvelopeId, EnvelopeKey, Epoch, TopicId};

/// A shelf: the envelopes of one class in one topic-hour. Epoch first, so that a window is a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShelfKey {
    pub(crate) epoch: Epoch,
    pub(crate) topic: TopicId,
    pub(crate) class: Class,
}

impl ShelfKey {
    /// The shelf of an envelope.
    pub(crate) fn of(key: &EnvelopeKey) -> Self {
        Self { epoch: key.epoch, topic: key.topic, class: key.class }
    }

    /// The key of an envelope on this shelf.
    pub(crate) fn envelope(&self, id: EnvelopeId) -> EnvelopeKey {
        EnvelopeKey { topic: self.topic, epoch: self.epoch, class: self.class, id }
    }

    /// The first shelf of an hour.
    pub(crate) fn first_of(epoch: Epoch) -> Self {
        Self { epoch, topic: TopicId(0), class: Class::Small }
    }

    /// The last shelf of an hour.
    pub(crate) fn last_of(epoch: Epoch) -> Self {
        Self { epoch, topic: TopicId(u32::MAX), class: Class::Large }
    }

    /// Bytes of a slot.
    pub(crate) fn slot_bytes(&self) -> u64 {
        self.class.envelope_bytes() as u64
    }

    /// Where one of its files lies.
    pub(crate) fn path(&self, directory: &Path, file: ShelfFile) -> PathBuf {
        directory.join(self.name(file))
    }

    /// Where the next version of one of its files is written before it is renamed.
    pub(crate) fn temporary_path(&self, directory: &Path, file: ShelfFile, version: u64) -> PathBuf {
        directory.join(format!("{}.{version}{TEMPORARY_SUFFIX}", self.name(file)))
    }

    fn name(&self, file: ShelfFile) -> String {
        format!("{:08x}-{}-{}.{}", self.topic.0, self.epoch.0, self.class.byte(), file.suffix())
    }
}

/// How the name of a file ends that was not finished.
pub(crate) const TEMPORARY_SUFFIX: &str = ".new";

/// The files of a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShelfFile {
    /// Envelopes, by slot.
    Bodies,
    /// Entries as they came.
    Recent,
    /// Entries sorted by id.
    Ids,
}

impl ShelfFile {
    /// All, in the order in which they are unlinked: bodies without entries are rubbish and known as such.
    pub(crate) const ALL: [Self; 3] = [Self::Ids, Self::Recent, Self::Bodies];

    fn suffix(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::Recent => "recent",
            Self::Ids => "ids",
        }
    }
}

/// The shelf and file of a name; `None` for a name that no pool gives.
pub(crate) fn parse(name: &str) -> Option<(ShelfKey, ShelfFile)> {
    let (stem, suffix) = name.split_once('.')?;
    let file = ShelfFile::ALL.into_iter().find(|file| file.suffix() == suffix)?;
    let mut parts = stem.split('-');
    let (topic, epoch, class) = (parts.next()?, parts.next()?, parts.next()?);
    let key = ShelfKey {
        epoch: Epoch(epoch.parse().ok()?),
        topic: TopicId(u32::from_str_radix(topic, 16).ok()?),
        class: Class::from_byte(class.parse().ok()?)?,
    };
    (key.name(file) == name).then_some((key, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_pool_gives_are_its_files() {
        let key = ShelfKey { epoch: Epoch(491_234), topic: TopicId(0xffff_ffe0), class: Class::Large };
        for file in ShelfFile::ALL {
            assert_eq!(parse(&key.name(file)), Some((key, file)));
        }
        for name in ["", "a", "0-1-0.ids", "00000000-1-2.ids", "00000000-01-0.ids", "00000000-1-0.ids.3.new", "floor"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
