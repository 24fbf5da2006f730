//! One seed is one run.

use starling_tests::sim::{Plan, World};

#[test]
fn a_seed_replays_to_the_byte() {
    for (seed, nodes) in [(4, 12), (5, 8)] {
        let run = || World::new(Plan::of_seed(seed, nodes), None, true).run();
        let (first, second) = (run(), run());
        assert!(first.trace.len() > 200, "{} lines", first.trace.len());
        assert_eq!(first.counts, second.counts);
        assert!(first.trace == second.trace, "two runs of seed {seed} differ");
    }
}
