//! The tags by which a session's messages are recognised, and the index in which they are looked up. SPEC: B10.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::primitives::secret::Secret;
use crate::seal::Tag;

use super::chain::{self, ReceivingChain};

/// Numbers of a chain that are watched at a time.
pub const WINDOW: u32 = 256;

/// Where in a session a tag's message stands. It stays valid as the session moves on: a message that is overtaken
/// keeps its position and its tag, so the index needs no update for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which of the peer's sending chains, counted from 0.
    pub chain: u32,
    /// Number in the chain, from 0.
    pub number: u32,
}

/// The tags of consecutive numbers of one chain.
pub(super) struct Window {
    chain: u32,
    first: u32,
    tags: VecDeque<Tag>,
}

impl Window {
    pub(super) fn new(header_key: &Secret<32>, chain: u32, first: u32) -> Self {
        let mut window = Self { chain, first, tags: VecDeque::with_capacity(WINDOW as usize) };
        window.fill(header_key);
        window
    }

    /// Derives the tags that are missing at the end, none beyond the last number.
    fn fill(&mut self, header_key: &Secret<32>) {
        let missing = self.len()..WINDOW;
        let numbers = missing.map_while(|offset| self.first.checked_add(offset));
        let tags = chain::tags(header_key, numbers);
        self.tags.extend(tags);
    }

    fn len(&self) -> u32 {
        u32::try_from(self.tags.len()).unwrap_or(WINDOW)
    }

    /// The tag of `number`, if it is in the window.
    pub(super) fn tag(&self, number: u32) -> Option<Tag> {
        self.tags.get(number.checked_sub(self.first)? as usize).copied()
    }

    /// Moves the start forward to `first` and derives as many tags at the end as were passed; returns these.
    pub(super) fn move_to(&mut self, header_key: &Secret<32>, first: u32) -> impl Iterator<Item = (Tag, Position)> {
        let passed = first.saturating_sub(self.first).min(self.len());
        self.tags.drain(..passed as usize);
        self.first = first.max(self.first);
        let kept = self.tags.len();
        self.fill(header_key);
        self.watched().skip(kept)
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = (Tag, Position)> {
        let chain = self.chain;
        self.tags.iter().zip(self.first..=u32::MAX).map(move |(tag, number)| (*tag, Position { chain, number }))
    }
}

/// The window of the receiving chain, if there is one, and of the one that the peer begins next.
pub(super) struct Windows {
    pub(super) current: Option<Window>,
    pub(super) next: Window,
}

impl Windows {
    /// Derives both, `chains` receiving chains having begun.
    pub(super) fn derive(receiving: Option<&ReceivingChain>, next_header: &Secret<32>, chains: u32) -> Self {
        let current = receiving
            .map(|receiving| Window::new(&receiving.header_key, chains.saturating_sub(1), receiving.next_number));
        Self { current, next: Window::new(next_header, chains, 0) }
    }

    /// The next chain becomes the current one, of `chains`; after it comes one with header key `next_header`. Returns
    /// the tags of the chain that was current, in order.
    pub(super) fn step(&mut self, next_header: &Secret<32>, chains: u32) -> impl Iterator<Item = Tag> + use<> {
        let current = core::mem::replace(&mut self.next, Window::new(next_header, chains, 0));
        let ended = self.current.replace(current);
        ended.into_iter().flat_map(|window| window.tags)
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = (Tag, Position)> {
        self.current.iter().flat_map(Window::watched).chain(self.next.watched())
    }
}

/// From tag to whatever the caller keeps there, for a million tags and more.
///
/// Tags are outputs of a keyed hash that only the two sides of a session could steer, and only their own: they are
/// their own hash. (A peer could make its tags collide in one bucket by drawing 2^20 keys a tag; it would slow down
/// the look-up of its own messages.) The order of a hash table depends on its history, so there is no iteration.
pub struct TagIndex<V>(HashMap<Tag, V, BuildHasherDefault<TagHasher>>);

impl<V> TagIndex<V> {
    /// Empty.
    pub fn new() -> Self {
        Self(HashMap::default())
    }

    /// Puts `value` under `tag` and returns what was there.
    pub fn insert(&mut self, tag: Tag, value: V) -> Option<V> {
        self.0.insert(tag, value)
    }

    /// What is under `tag`.
    pub fn get(&self, tag: &Tag) -> Option<&V> {
        self.0.get(tag)
    }

    /// Takes away what is under `tag`.
    pub fn remove(&mut self, tag: &Tag) -> Option<V> {
        self.0.remove(tag)
    }

    /// How many tags.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V> Default for TagIndex<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_le_bytes(self.0));
    }
}

/// Takes the first 8 bytes of a tag as its hash.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, tag: u128) {
        self.0 = tag as u64;
    }
}
