//! Random delays and choices. Which moment a node acts at must tell a watching neighbour nothing, so
//! almost every delay is drawn. SPEC: B9.6, B13, B14.

use rand_core::CryptoRng;

/// An exponential delay of mean `mean_ms`, at most 20 means (a draw beyond is one in 500 million). Zero when
/// the mean is zero.
pub(crate) fn exponential_ms(mean_ms: u32, rng: &mut impl CryptoRng) -> u64 {
    if mean_ms == 0 {
        return 0;
    }
    // 53 random bits make a uniform number in (0, 1].
    let uniform = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let mean = f64::from(mean_ms);
    (-uniform.ln() * mean).min(20.0 * mean) as u64
}

/// A uniform delay from `least_ms` to `most_ms`, both included.
pub(crate) fn uniform_ms(least_ms: u32, most_ms: u32, rng: &mut impl CryptoRng) -> u64 {
    let span = u64::from(most_ms.saturating_sub(least_ms)) + 1;
    u64::from(least_ms) + rng.next_u64() % span
}

/// A uniform index below `length`; `None` when there is nothing to choose from. The modulo's bias is below
/// 2^-40 at the sizes that occur here.
pub(crate) fn pick(length: usize, rng: &mut impl CryptoRng) -> Option<usize> {
    let length = u64::try_from(length).ok().filter(|&length| length > 0)?;
    usize::try_from(rng.next_u64() % length).ok()
}

/// Shuffles `items` (Fisher-Yates).
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for last in (1..items.len()).rev() {
        if let Some(other) = pick(last + 1, rng) {
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn exponential_delays_have_their_mean_and_no_absurd_tail() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let draws: Vec<u64> = (0..20_000).map(|_| exponential_ms(400, &mut rng)).collect();
        let mean = draws.iter().sum::<u64>() / 20_000;
        assert!((385..=415).contains(&mean), "mean {mean}");
        assert!(draws.iter().all(|&delay| delay <= 8_000));
        assert_eq!(exponential_ms(0, &mut rng), 0);
    }

    #[test]
    fn uniform_delays_reach_both_ends() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let draws: Vec<u64> = (0..2_000).map(|_| uniform_ms(100, 103, &mut rng)).collect();
        assert!((100..=103).all(|value| draws.contains(&value)));
        assert!(draws.iter().all(|value| (100..=103).contains(value)));
    }
}
