//! Seeds, each a run of its own: loss, delay, crashes, wrong clocks, hostile neighbours.

use starling_tests::sim;

#[test]
fn small_worlds() {
    for seed in 0..3 {
        sim::run(seed, 20).assert_good();
    }
}
