//! Every limit of the protocol in one place, each with its reason. SPEC: B1, B2, B9, B12 to B16.
//!
//! A number from the wire is compared with one of these before it sizes or costs anything.

/// Version byte of an envelope.
pub const ENVELOPE_VERSION: u8 = 1;
/// Bytes of a small envelope (class 0), everywhere and always.
pub const ENVELOPE_SMALL_BYTES: usize = 2_048;
/// Bytes of a large envelope (class 1).
pub const ENVELOPE_LARGE_BYTES: usize = 16_384;
/// Bytes before the body.
pub const ENVELOPE_HEAD_BYTES: usize = 86;
/// Bytes of the part of the head that body encryption authenticates (AD0).
pub const ENVELOPE_AD_BYTES: usize = 58;
/// Body bytes of a small envelope.
pub const BODY_SMALL_BYTES: usize = 1_962;
/// Body bytes of a large envelope.
pub const BODY_LARGE_BYTES: usize = 16_298;
/// Highest number of shard bits that a topic can carry (5 bits of it are the depth itself).
pub const SHARD_BITS_MAX: u8 = 27;

/// Milliseconds in the hour that is the protocol's epoch.
pub const EPOCH_MS: u64 = 3_600_000;
/// Gossip carries the epochs now-1, now and now+1; what is older comes by sync.
pub const GOSSIP_EPOCHS_EITHER_WAY: u32 = 1;
/// Hours of grace before an expired envelope is refused or dropped: clocks differ.
pub const EXPIRY_SLACK_HOURS: u32 = 1;

/// Multipliers of the base effort, by congestion. SPEC: B2.
pub const EFFORT_STEPS: [u32; 4] = [1, 4, 16, 64];
/// A large envelope costs this many times the effort of a small one, as it takes 8 times the room.
pub const EFFORT_LARGE_FACTOR: u32 = 8;
/// Bytes of the stamp in the head: nonce 8, Equi-X solution 16.
pub const STAMP_BYTES: usize = 24;

/// Bytes of one message, in all its parts. What is larger is a blob, not gossip.
pub const MESSAGE_BYTES_MAX: usize = 64_000;
/// Bytes of the text beside a file.
pub const CAPTION_BYTES_MAX: usize = 1_024;
/// Bytes of a file's name, as file systems have them.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Milliseconds of a voice note: at 16 kbit/s 30 s are 60,000 bytes, and 64,000 are all there is.
pub const VOICE_MS_MAX: u32 = 30_000;
/// Levels in a voice note's waveform.
pub const VOICE_PEAKS_MAX: usize = 64;
/// Bytes of a name that a person gives to themselves.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of the name inside an invite: it must stay scannable.
pub const INVITE_NAME_BYTES_MAX: usize = 24;
/// Bytes of an invite: QR version 13, the last that an 80-column terminal shows.
pub const INVITE_BYTES_MAX: usize = 296;
/// Bytes of a pasted text that are looked at for an invite: it has 482 characters, mails add to that.
pub const INVITE_TEXT_BYTES_MAX: usize = 8_192;

/// Bytes of a negentropy message in a sync frame.
pub const SYNC_MESSAGE_BYTES_MAX: usize = 65_536;
/// Envelopes asked for in one pull.
pub const SYNC_PULL_MAX: usize = 256;
/// Bytes of one bodies frame: a whole pull may need 4 MiB, which nobody should hold for one peer at once.
pub const SYNC_BODIES_BYTES_MAX: usize = 262_144;
/// Rounds of one reconciliation.
pub const SYNC_ROUNDS_MAX: u32 = 8;
/// Bytes of an id inside one sync session.
pub const SYNC_ID_BYTES: usize = 20;

/// Bytes of a push cell that carries a small envelope.
pub const CELL_SMALL_BYTES: usize = 2_560;
/// Bytes of a push cell that carries a large envelope.
pub const CELL_LARGE_BYTES: usize = 16_896;

/// Addresses in a node descriptor.
pub const DESCRIPTOR_ADDRESSES_MAX: usize = 8;
/// Bytes of one address (a binary multiaddr) in a node descriptor.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Seconds a descriptor stays valid after it was signed.
pub const DESCRIPTOR_LIFETIME_S: u64 = 48 * 3_600;
/// Seconds by which a descriptor may outlive that: clocks differ.
pub const DESCRIPTOR_CLOCK_SLACK_S: u64 = 3_600;
/// Descriptors of others that a Hold or an Ok carries.
pub const LINK_OTHERS_MAX: usize = 32;
/// Descriptors of others that a Full carries.
pub const LINK_FULL_OTHERS_MAX: usize = 8;
/// Bytes of one link or descriptor frame: 33 descriptors of 8 addresses of 128 bytes, and room.
pub const LINK_FRAME_BYTES_MAX: usize = 49_152;

/// Largest gossip message that the transport carries: a large envelope and its framing.
pub const GOSSIP_BYTES_MAX: usize = 20_480;
/// Epochs of stored envelopes that a node remembers as refused, ids an hour. SPEC: B12.
pub const REFUSED_IDS_PER_HOUR_MAX: usize = 4_096;
