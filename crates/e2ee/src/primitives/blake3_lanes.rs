//! Keyed BLAKE3 of many short inputs at a time, for the 256 tags that every new chain derives. SPEC: B0, B4.
//!
//! The `blake3` crate works on several inputs at once only if they are whole blocks, and a tag's input is 19 bytes. Here
//! every word of the state is an array of that word of each input, and each step is a loop over such arrays, which the
//! compiler makes vector instructions of: 35 ns a tag instead of 82. The result is the crate's to the bit; the tests
//! compare the two.

/// Inputs hashed at a time.
pub(crate) const LANES: usize = 32;
/// Bytes of each input: the label of a tag and its number.
pub(crate) const INPUT_BYTES: usize = 19;

/// Domain flags of a message that is one block: CHUNK_START, CHUNK_END, ROOT, KEYED_HASH.
const FLAGS: u32 = 1 | 2 | 8 | 16;
/// The first half of BLAKE3's IV, which is SHA-256's.
const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// One word of every input's state or block.
type Lanes = [u32; LANES];

/// The function G on four words of the state and two of the block. Not inlined: the loop is then seen as one, and
/// becomes vectors.
#[inline(never)]
fn mix(a: &mut Lanes, b: &mut Lanes, c: &mut Lanes, d: &mut Lanes, x: &Lanes, y: &Lanes) {
    for (((a, b), (c, d)), (x, y)) in a.iter_mut().zip(b).zip(c.iter_mut().zip(d)).zip(x.iter().zip(y)) {
        *a = a.wrapping_add(*b).wrapping_add(*x);
        *d = (*d ^ *a).rotate_right(16);
        *c = c.wrapping_add(*d);
        *b = (*b ^ *c).rotate_right(12);
        *a = a.wrapping_add(*b).wrapping_add(*y);
        *d = (*d ^ *a).rotate_right(8);
        *c = c.wrapping_add(*d);
        *b = (*b ^ *c).rotate_right(7);
    }
}

/// One round: columns, then diagonals, with the block's words in their present order.
fn round(state: &mut [Lanes; 16], m: &[&Lanes; 16]) {
    let [v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15] = state;
    mix(v0, v4, v8, v12, m[0], m[1]);
    mix(v1, v5, v9, v13, m[2], m[3]);
    mix(v2, v6, v10, v14, m[4], m[5]);
    mix(v3, v7, v11, v15, m[6], m[7]);
    mix(v0, v5, v10, v15, m[8], m[9]);
    mix(v1, v6, v11, v12, m[10], m[11]);
    mix(v2, v7, v8, v13, m[12], m[13]);
    mix(v3, v4, v9, v14, m[14], m[15]);
}

/// The order of the block's words in the next round.
const fn permuted<'a>(m: &[&'a Lanes; 16]) -> [&'a Lanes; 16] {
    [m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]]
}

/// The first 16 bytes of keyed BLAKE3's output over each of `inputs`.
pub(crate) fn keyed_blake3_lanes(key: &[u8; 32], inputs: &[[u8; INPUT_BYTES]; LANES]) -> [[u8; 16]; LANES] {
    let block = block_words(inputs);
    let mut m = block.each_ref();
    let mut state = [[0; LANES]; 16];
    let key = key.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    // The words of the key, the IV, the counter (0), the length of the block, its flags.
    let words = key.chain(IV).chain([0, 0, INPUT_BYTES as u32, FLAGS]);
    state.iter_mut().zip(words).for_each(|(lanes, word)| *lanes = [word; LANES]);
    for _ in 0..7 {
        round(&mut state, &m);
        m = permuted(&m);
    }
    let (left, right) = state.split_at(8);
    let mut hashes = [[0; 16]; LANES];
    for (place, (left, right)) in left.iter().zip(right).take(4).enumerate() {
        for (hash, (left, right)) in hashes.iter_mut().zip(left.iter().zip(right)) {
            let word = hash.as_chunks_mut::<4>().0.get_mut(place);
            word.into_iter().for_each(|word| *word = (left ^ right).to_le_bytes());
        }
    }
    hashes
}

/// The inputs' words, those of all inputs side by side; what follows them in the block is zero.
fn block_words(inputs: &[[u8; INPUT_BYTES]; LANES]) -> [Lanes; 16] {
    let mut words = [[0; LANES]; 16];
    for (lane, input) in inputs.iter().enumerate() {
        let (whole, rest) = input.as_chunks::<4>();
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(last, byte)| *last = *byte);
        for (lanes, bytes) in words.iter_mut().zip(whole.iter().chain([&last])) {
            lanes.get_mut(lane).into_iter().for_each(|word| *word = u32::from_le_bytes(*bytes));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_lane_is_what_the_crate_says(key: [u8; 32], inputs: [[u8; INPUT_BYTES]; LANES]) {
            let hashes = keyed_blake3_lanes(&key, &inputs);
            for (input, hash) in inputs.iter().zip(hashes) {
                let expected = blake3::keyed_hash(&key, input);
                prop_assert_eq!(&expected.as_bytes()[..16], hash);
            }
        }
    }
}
