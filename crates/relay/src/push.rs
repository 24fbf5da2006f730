//! Push: sealing an envelope to the node that will publish it, opening what others sealed to us, and the
//! two bounds on it: a cell works once, and a link has a quota. SPEC: B14.
//!
//! ```text
//! layer = enc 32 | AEAD(plaintext)        enc: X25519 public key made for this layer
//! key 32 | nonce 12 = HKDF-SHA-256(salt = enc, ikm = X25519(enc secret, onion key), info = L("cell") || class 1)
//! ```
//!
//! Key and nonce serve one layer, so a nonce never repeats. `enc` salts the key as it stands in the cell:
//! another encoding of the same point gives another key, so a layer cannot be changed and still open, and
//! `enc` alone names it in the replay cache. The path has one node here, the exit. A hop tries the length
//! of an exit layer first; `open_layer` takes any length, so that of a guard is one more try.

use std::collections::BTreeSet;
use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use starling_wire::envelope::Class;
use starling_wire::network::label;
use starling_wire::push_cell::{CellError, ExitPlaintext, PushCell, cell_bytes, exit_layer_bytes};
use thiserror::Error;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::penalty::Fault;

/// Milliseconds in which a cell is recognised when it comes again. Its envelope is out of the gossip
/// window by then, so that a later copy is refused by admission.
pub const REPLAY_WINDOW_MS: u64 = 2 * 3_600_000;
/// Cells remembered in one window: 24 links that use up their quotas need 45 minutes to fill it. Then new
/// cells are refused, since forgetting early would let a flood reopen the door to replays.
pub const REPLAY_CELLS_MAX: usize = 262_144;

/// Cells that a link may push at once: all that one chain of the ratchet may have under way.
pub const QUOTA_BURST_CELLS: u64 = 256;
/// Cells a second that a link may push on and on.
pub const QUOTA_CELLS_PER_S: u64 = 4;
/// A large cell counts as this many: it costs eight times the room.
pub const QUOTA_LARGE_FACTOR: u64 = 8;

/// The X25519 secret to which cells for this node are sealed. It need not outlive the process: a new one
/// comes with a new descriptor, and then no cell of before can be replayed.
pub struct OnionSecret(StaticSecret);

impl fmt::Debug for OnionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnionSecret(..)")
    }
}

impl OnionSecret {
    /// A fresh secret.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// The secret of 32 bytes; the caller wipes its copy.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// The public half, which the node's descriptor carries.
    pub fn public_key(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }
}

/// Why a cell could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The onion key is of low order: the exit's fault; take another.
    #[error("the exit's onion key is not usable")]
    OnionKey,
    /// The envelope is not of the class of the cell: our mistake.
    #[error(transparent)]
    Cell(#[from] CellError),
}

/// Seals `plaintext` to the node with `onion_key`, in a cell of `class` filled up with random bytes.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    plaintext: &ExitPlaintext,
    class: Class,
    onion_key: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> Result<PushCell, SealError> {
    let plaintext = plaintext.encode(class)?;
    let enc_secret = StaticSecret::random_from_rng(rng);
    let enc = PublicKey::from(&enc_secret).to_bytes();
    let shared = enc_secret.diffie_hellman(&PublicKey::from(*onion_key));
    let (cipher, nonce) = layer_cipher(&enc, &shared, class).ok_or(SealError::OnionKey)?;
    // The cipher refuses only what is longer than 256 GiB.
    let too_long = CellError::Length { bytes: plaintext.len() };
    let sealed = cipher.encrypt(&nonce, plaintext.as_slice()).map_err(|_| too_long)?;
    let layer = [enc.as_slice(), &sealed].concat();
    let mut tail = vec![0; cell_bytes(class).saturating_sub(exit_layer_bytes(class))];
    rng.fill_bytes(&mut tail);
    Ok(PushCell::assemble(class, &layer, &tail)?)
}

/// A node's half of the push protocol as an exit: opens cells, each of them once.
#[derive(Debug)]
pub struct Exit {
    secret: OnionSecret,
    replays: ReplayCache,
}

impl Exit {
    /// An exit that holds `secret` and has seen no cell yet.
    pub fn new(secret: OnionSecret) -> Self {
        Self { secret, replays: ReplayCache::new(REPLAY_CELLS_MAX) }
    }

    /// The key that others seal to.
    pub fn onion_key(&self) -> [u8; 32] {
        self.secret.public_key()
    }

    /// Opens a cell at `monotonic_ms`. What it publishes has to pass admission like any other envelope.
    ///
    /// # Errors
    /// [`Fault::BadCell`] when it is not sealed to this node or makes no sense, [`Fault::ReplayedCell`] when it
    /// was opened before, [`Fault::PushQuota`] when too many cells came in a window. None is the link's
    /// provable fault: it may only have passed the cell on.
    pub fn open(&mut self, cell: &PushCell, monotonic_ms: u64) -> Result<ExitPlaintext, Fault> {
        let plaintext = open_layer(cell.exit_layer(), cell.class(), &self.secret).ok_or(Fault::BadCell)?;
        match self.replays.insert(cell.exit_layer(), monotonic_ms) {
            Seen::First => ExitPlaintext::decode(&plaintext, cell.class()).map_err(|_| Fault::BadCell),
            Seen::Again => Err(Fault::ReplayedCell),
            Seen::Full => Err(Fault::PushQuota),
        }
    }
}

/// The plaintext of a layer, of any length, that is sealed to `secret`.
fn open_layer(layer: &[u8], class: Class, secret: &OnionSecret) -> Option<Vec<u8>> {
    let (enc, sealed) = layer.split_first_chunk::<32>()?;
    let shared = secret.0.diffie_hellman(&PublicKey::from(*enc));
    let (cipher, nonce) = layer_cipher(enc, &shared, class)?;
    cipher.decrypt(&nonce, sealed).ok()
}

/// Cipher and nonce of a layer; `None` when the other side's key is of low order.
fn layer_cipher(enc: &[u8; 32], shared: &SharedSecret, class: Class) -> Option<(ChaCha20Poly1305, Nonce)> {
    if !shared.was_contributory() {
        return None;
    }
    let mut info = label("cell");
    info.push(class.byte());
    let mut material = Zeroizing::new([0; 44]);
    Hkdf::<Sha256>::new(Some(enc), shared.as_bytes()).expand(&info, material.as_mut_slice()).ok()?;
    let (key, nonce) = material.split_first_chunk::<32>()?;
    let nonce = Nonce::from(*nonce.first_chunk::<12>()?);
    let mut key = Key::from(*key);
    let cipher = ChaCha20Poly1305::new(&key);
    key.zeroize();
    Some((cipher, nonce))
}

/// What the replay cache knows of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    First,
    Again,
    Full,
}

/// Layers opened in the last window, and those of the window before it: each is remembered for at least
/// one window, at most two, without a time per entry.
#[derive(Debug)]
struct ReplayCache {
    current: BTreeSet<[u8; 16]>,
    previous: BTreeSet<[u8; 16]>,
    current_since_ms: u64,
    cells_max: usize,
}

impl ReplayCache {
    fn new(cells_max: usize) -> Self {
        Self { current: BTreeSet::new(), previous: BTreeSet::new(), current_since_ms: 0, cells_max }
    }

    /// Remembers a layer that opened. Half of `enc` is name enough: nobody can make a layer that opens
    /// under an `enc` with a chosen half.
    fn insert(&mut self, layer: &[u8], monotonic_ms: u64) -> Seen {
        self.forget_old(monotonic_ms);
        let Some(name) = layer.first_chunk() else { return Seen::Again };
        if self.current.contains(name) || self.previous.contains(name) {
            return Seen::Again;
        }
        if self.current.len() >= self.cells_max {
            return Seen::Full;
        }
        self.current.insert(*name);
        Seen::First
    }

    fn forget_old(&mut self, monotonic_ms: u64) {
        let age_ms = monotonic_ms.saturating_sub(self.current_since_ms);
        if age_ms < REPLAY_WINDOW_MS {
            return;
        }
        self.previous = std::mem::take(&mut self.current);
        if age_ms >= REPLAY_WINDOW_MS.saturating_mul(2) {
            self.previous.clear();
        }
        self.current_since_ms = monotonic_ms;
    }
}

/// How much one link may still push: a token bucket, full at first. One a link; it goes with the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushQuota {
    /// Thousandths of a cell.
    millicells: u64,
    updated_ms: u64,
}

const MILLI: u64 = 1_000;
const FULL_MILLICELLS: u64 = QUOTA_BURST_CELLS * MILLI;

impl PushQuota {
    /// A full quota at `monotonic_ms`.
    pub const fn new(monotonic_ms: u64) -> Self {
        Self { millicells: FULL_MILLICELLS, updated_ms: monotonic_ms }
    }

    /// Takes a cell of `class` from it. To be asked before the cell is opened, which costs an X25519 operation.
    ///
    /// # Errors
    /// [`Fault::PushQuota`] when it is used up; the cell is not counted then.
    pub fn take(&mut self, class: Class, monotonic_ms: u64) -> Result<(), Fault> {
        // A thousandth of a cell a millisecond is one cell a second.
        let elapsed_ms = monotonic_ms.saturating_sub(self.updated_ms);
        let refilled = self.millicells.saturating_add(elapsed_ms.saturating_mul(QUOTA_CELLS_PER_S));
        self.millicells = refilled.min(FULL_MILLICELLS);
        self.updated_ms = self.updated_ms.max(monotonic_ms);
        let cells = match class {
            Class::Small => 1,
            Class::Large => QUOTA_LARGE_FACTOR,
        };
        self.millicells = self.millicells.checked_sub(cells.saturating_mul(MILLI)).ok_or(Fault::PushQuota)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use serde_json::Value;
    use starling_wire::push_cell::{guard_layer_bytes, guard_plaintext_bytes};

    use super::*;

    const BOTH: [Class; 2] = [Class::Small, Class::Large];

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn publish(class: Class) -> ExitPlaintext {
        ExitPlaintext::Publish((0..class.envelope_bytes()).map(|index| index as u8).collect())
    }

    fn exit() -> Exit {
        Exit::new(OnionSecret::generate(&mut rng(1)))
    }

    /// A layer around any plaintext, made as a foreign node would make it.
    fn foreign_layer(plaintext: &[u8], class: Class, onion_key: &[u8; 32], seed: u64) -> Vec<u8> {
        let secret = StaticSecret::random_from_rng(&mut rng(seed));
        let enc = PublicKey::from(&secret).to_bytes();
        let shared = secret.diffie_hellman(&PublicKey::from(*onion_key));
        let (cipher, nonce) = layer_cipher(&enc, &shared, class).unwrap();
        [enc.as_slice(), &cipher.encrypt(&nonce, plaintext).unwrap()].concat()
    }

    fn cell_of(layer: &[u8], class: Class) -> PushCell {
        PushCell::assemble(class, layer, &vec![0xA5; cell_bytes(class) - layer.len()]).unwrap()
    }

    /// Randomness that is written down: what a vector says, then zeros.
    struct Scripted(Vec<u8>);

    impl rand_core::TryRng for Scripted {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            let mut bytes = [0; 4];
            self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            let mut bytes = [0; 8];
            self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        }

        fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Self::Error> {
            let count = into.len().min(self.0.len());
            into.fill(0);
            into[..count].copy_from_slice(&self.0.drain(..count).collect::<Vec<_>>());
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Scripted {}

    /// The bytes of a hex string, or of an array of hex and `{repeat, times}`.
    fn bytes(value: &Value) -> Vec<u8> {
        match value {
            Value::String(hex) => data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap(),
            Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
            part => bytes(&part["repeat"]).repeat(part["times"].as_u64().unwrap() as usize),
        }
    }

    fn check_valid_layer(case: &Value) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let class = Class::from_byte(input["class"].as_u64().unwrap() as u8).unwrap();
        let mut exit = Exit::new(OnionSecret::from_bytes(bytes(&input["onion_secret"]).try_into().unwrap()));
        assert_eq!(exit.onion_key().as_slice(), bytes(&expect["onion_key"]));
        let plaintext = ExitPlaintext::decode(&bytes(&input["plaintext"]), class).unwrap();
        let mut rng = Scripted(bytes(&input["enc_secret"]));
        let cell = seal(&plaintext, class, &exit.onion_key(), &mut rng).unwrap();
        assert_eq!(cell.exit_layer(), bytes(&expect["layer"]), "{}", case["id"]);
        assert_eq!(exit.open(&cell, 0), Ok(plaintext), "{}", case["id"]);
    }

    #[test]
    fn layers_of_another_author_are_met_to_the_byte() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/wire/push_layer.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (mut valid, mut reasons) = (0, BTreeSet::new());
        for case in file["cases"].as_array().unwrap() {
            if case["result"] == "valid" {
                check_valid_layer(case);
                valid += 1;
                continue;
            }
            let layer = bytes(&case["input"]["layer"]);
            let secret = OnionSecret::from_bytes(bytes(&case["input"]["onion_secret"]).try_into().unwrap());
            let opened = open_layer(&layer, Class::Small, &secret);
            let reason = match &opened {
                None => "does_not_open",
                Some(plaintext) => match ExitPlaintext::decode(plaintext, Class::Small) {
                    Err(CellError::Order(_)) => "order",
                    outcome => panic!("{}: {outcome:?}", case["id"]),
                },
            };
            assert_eq!(case["reason"], reason, "{}", case["id"]);
            assert_eq!(Exit::new(secret).open(&cell_of(&layer, Class::Small), 0), Err(Fault::BadCell));
            reasons.insert(reason);
        }
        assert_eq!((valid, reasons), (3, BTreeSet::from(["does_not_open", "order"])));
    }

    #[test]
    fn the_exit_gets_what_was_sealed_to_it() {
        let mut exit = exit();
        for class in BOTH {
            for plaintext in [publish(class), ExitPlaintext::Drop] {
                let cell = seal(&plaintext, class, &exit.onion_key(), &mut rng(2 + class.byte() as u64)).unwrap();
                assert_eq!(cell.as_bytes().len(), cell_bytes(class));
                let mut fresh = Exit::new(OnionSecret::generate(&mut rng(1)));
                assert_eq!(fresh.open(&cell, 0), Ok(plaintext));
            }
        }
        let cell = seal(&publish(Class::Small), Class::Small, &exit.onion_key(), &mut rng(9)).unwrap();
        assert_eq!(exit.open(&cell, 0), Ok(publish(Class::Small)));
    }

    #[test]
    fn two_cells_of_one_envelope_share_no_bytes_that_tell() {
        let onion = exit().onion_key();
        let mut rng = rng(3);
        let first = seal(&publish(Class::Small), Class::Small, &onion, &mut rng).unwrap();
        let second = seal(&publish(Class::Small), Class::Small, &onion, &mut rng).unwrap();
        let equal = first.as_bytes().iter().zip(second.as_bytes()).filter(|(a, b)| a == b).count();
        // 2,560 random bytes agree in 10 places on average.
        assert!(equal < 40, "{equal} bytes are equal");
    }

    #[test]
    fn only_the_node_it_was_sealed_to_opens_a_cell() {
        let cell = seal(&publish(Class::Small), Class::Small, &exit().onion_key(), &mut rng(4)).unwrap();
        let mut other = Exit::new(OnionSecret::generate(&mut rng(5)));
        assert_eq!(other.open(&cell, 0), Err(Fault::BadCell));
    }

    #[test]
    fn every_byte_of_the_layer_counts_and_no_byte_of_the_tail() {
        let mut exit = exit();
        let cell = seal(&publish(Class::Small), Class::Small, &exit.onion_key(), &mut rng(6)).unwrap();
        let layer = exit_layer_bytes(Class::Small);
        for at in (0..layer).step_by(61).chain([31, 32, layer - 17, layer - 16, layer - 1]) {
            for bit in [0x01, 0x80] {
                let mut bytes = cell.as_bytes().to_vec();
                bytes[at] ^= bit;
                assert_eq!(exit.open(&PushCell::parse(bytes).unwrap(), 0), Err(Fault::BadCell), "byte {at}");
            }
        }
        let mut bytes = cell.as_bytes().to_vec();
        bytes[layer] ^= 1;
        assert_eq!(exit.open(&PushCell::parse(bytes).unwrap(), 0), Ok(publish(Class::Small)));
        // The same layer under another tail is the same cell.
        assert_eq!(exit.open(&cell, 0), Err(Fault::ReplayedCell));
    }

    #[test]
    fn a_layer_of_the_other_class_does_not_open() {
        let mut exit = exit();
        // Sealed for class 1, cut to the length of class 0.
        let layer = foreign_layer(&[1; 2_049], Class::Large, &exit.onion_key(), 7);
        assert_eq!(exit.open(&cell_of(&layer, Class::Small), 0), Err(Fault::BadCell));
    }

    #[test]
    fn orders_that_an_exit_does_not_know_are_refused() {
        let mut exit = exit();
        for (seed, order) in [(10, 0), (11, 3), (12, 4), (13, 255)] {
            let plaintext = [&[order], [0; 2_048].as_slice()].concat();
            let layer = foreign_layer(&plaintext, Class::Small, &exit.onion_key(), seed);
            assert_eq!(exit.open(&cell_of(&layer, Class::Small), 0), Err(Fault::BadCell), "order {order}");
        }
    }

    #[test]
    fn a_guard_layer_is_not_an_exit_layer() {
        let mut exit = exit();
        for (seed, class) in [(14, Class::Small), (15, Class::Large)] {
            let plaintext = vec![3; guard_plaintext_bytes(class)];
            let layer = foreign_layer(&plaintext, class, &exit.onion_key(), seed);
            assert_eq!(layer.len(), guard_layer_bytes(class));
            assert_eq!(exit.open(&cell_of(&layer, class), 0), Err(Fault::BadCell));
        }
    }

    #[test]
    fn keys_of_low_order_neither_seal_nor_open() {
        let mut exit = exit();
        let one = [&[1], [0; 31].as_slice()].concat().try_into().unwrap();
        for low_order in [[0; 32], one] {
            let sealed = seal(&ExitPlaintext::Drop, Class::Small, &low_order, &mut rng(16));
            assert_eq!(sealed, Err(SealError::OnionKey));
            let mut bytes = vec![0x5A; cell_bytes(Class::Small)];
            bytes[..32].copy_from_slice(&low_order);
            assert_eq!(exit.open(&PushCell::parse(bytes).unwrap(), 0), Err(Fault::BadCell));
        }
    }

    #[test]
    fn an_envelope_of_the_wrong_class_is_not_sealed() {
        let sealed = seal(&publish(Class::Large), Class::Small, &exit().onion_key(), &mut rng(17));
        assert!(matches!(sealed, Err(SealError::Cell(_))));
    }

    #[test]
    fn a_cell_is_recognised_for_at_least_two_hours_whenever_it_came() {
        for came_ms in [0, 1, REPLAY_WINDOW_MS - 1, REPLAY_WINDOW_MS, 3 * REPLAY_WINDOW_MS + 5] {
            let mut exit = exit();
            let cell = seal(&publish(Class::Small), Class::Small, &exit.onion_key(), &mut rng(18)).unwrap();
            assert!(exit.open(&cell, came_ms).is_ok());
            for later_ms in [0, 1, REPLAY_WINDOW_MS / 2, REPLAY_WINDOW_MS - 1, REPLAY_WINDOW_MS] {
                assert_eq!(exit.open(&cell, came_ms + later_ms), Err(Fault::ReplayedCell), "{came_ms}+{later_ms}");
            }
        }
    }

    #[test]
    fn cells_that_do_not_open_leave_no_trace() {
        let mut exit = exit();
        for index in 0..200u16 {
            let mut bytes = vec![0x33; cell_bytes(Class::Small)];
            bytes[..2].copy_from_slice(&index.to_le_bytes());
            assert_eq!(exit.open(&PushCell::parse(bytes).unwrap(), 0), Err(Fault::BadCell));
        }
        assert!(exit.replays.current.is_empty());
    }

    #[test]
    fn a_full_cache_refuses_new_cells_and_still_knows_the_old_ones() {
        let mut cache = ReplayCache::new(3);
        let layer = |name: u8| [name; 32];
        for name in 0..3 {
            assert_eq!(cache.insert(&layer(name), 10), Seen::First);
        }
        assert_eq!(cache.insert(&layer(3), 10), Seen::Full);
        assert_eq!(cache.insert(&layer(0), 10), Seen::Again);
        // A window later there is room again, and the old ones are known still.
        assert_eq!(cache.insert(&layer(3), REPLAY_WINDOW_MS), Seen::First);
        assert_eq!(cache.insert(&layer(2), REPLAY_WINDOW_MS), Seen::Again);
        assert!(cache.current.len() + cache.previous.len() <= 6);
    }

    #[test]
    fn after_a_long_silence_nothing_is_remembered() {
        let mut cache = ReplayCache::new(3);
        assert_eq!(cache.insert(&[1; 32], 0), Seen::First);
        assert_eq!(cache.insert(&[2; 32], 2 * REPLAY_WINDOW_MS), Seen::First);
        assert!(cache.previous.is_empty());
    }

    #[test]
    fn a_link_has_its_burst_and_then_its_rate() {
        let mut quota = PushQuota::new(5_000);
        for _ in 0..QUOTA_BURST_CELLS {
            assert_eq!(quota.take(Class::Small, 5_000), Ok(()));
        }
        assert_eq!(quota.take(Class::Small, 5_000), Err(Fault::PushQuota));
        let taken = (0..10_000u64).filter(|ms| quota.take(Class::Small, 5_001 + ms).is_ok()).count();
        assert_eq!(taken as u64, 10 * QUOTA_CELLS_PER_S);
    }

    #[test]
    fn a_large_cell_costs_eight_small_ones() {
        let mut quota = PushQuota::new(0);
        for _ in 0..QUOTA_BURST_CELLS / QUOTA_LARGE_FACTOR {
            assert_eq!(quota.take(Class::Large, 0), Ok(()));
        }
        assert_eq!(quota.take(Class::Small, 0), Err(Fault::PushQuota));
    }

    #[test]
    fn a_refused_large_cell_leaves_what_small_ones_may_use() {
        let mut quota = PushQuota::new(0);
        for _ in 0..QUOTA_BURST_CELLS - 1 {
            assert_eq!(quota.take(Class::Small, 0), Ok(()));
        }
        assert_eq!(quota.take(Class::Large, 0), Err(Fault::PushQuota));
        assert_eq!(quota.take(Class::Small, 0), Ok(()));
    }

    proptest! {
        #[test]
        fn hostile_cells_neither_panic_nor_open(bytes in proptest::collection::vec(any::<u8>(), cell_bytes(Class::Small))) {
            let cell = PushCell::parse(bytes).unwrap();
            prop_assert_eq!(exit().open(&cell, 0), Err(Fault::BadCell));
        }

        #[test]
        fn no_sequence_of_pushes_exceeds_burst_and_rate(steps in proptest::collection::vec((0u64..2_000, any::<bool>()), 1..400)) {
            let mut quota = PushQuota::new(0);
            let (mut now_ms, mut cells) = (0u64, 0u64);
            for (wait_ms, large) in steps {
                now_ms += wait_ms;
                let (class, cost) = if large { (Class::Large, QUOTA_LARGE_FACTOR) } else { (Class::Small, 1) };
                if quota.take(class, now_ms).is_ok() {
                    cells += cost;
                }
                prop_assert!(cells * MILLI <= FULL_MILLICELLS + now_ms * QUOTA_CELLS_PER_S);
            }
        }
    }
}
