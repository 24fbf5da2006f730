//! Seeds, each a run of its own: loss, delay, reordering, crashes at every point of a commit, power cuts,
//! sleep, wrong clocks, islands, full disks, hostile neighbours. Every third one lives through days or weeks.

use std::ops::Range;

use starling_tests::sim;

/// Runs seeds with 20 to 50 nodes each.
fn worlds(seeds: Range<u64>) {
    for seed in seeds {
        sim::run(seed, 20 + (seed as usize * 7) % 31).assert_good();
    }
}

#[test]
fn a_crowd_of_200() {
    sim::run(100, 200).assert_good();
}

#[test]
fn another_crowd_of_200() {
    sim::run(101, 200).assert_good();
}

/// Confirmations due when their writer was blocked; a first contact that was lost while another one crossed it.
#[test]
fn found_by_longer_runs() {
    sim::run(60, 37).assert_good();
    sim::run(132, 45).assert_good();
}

#[test]
fn seeds_00_to_05() {
    worlds(0..6);
}

#[test]
fn seeds_06_to_11() {
    worlds(6..12);
}

#[test]
fn seeds_12_to_17() {
    worlds(12..18);
}

#[test]
fn seeds_18_to_23() {
    worlds(18..24);
}

#[test]
fn seeds_24_to_29() {
    worlds(24..30);
}

#[test]
fn seeds_30_to_35() {
    worlds(30..36);
}

#[test]
fn seeds_36_to_41() {
    worlds(36..42);
}

#[test]
fn seeds_42_to_47() {
    worlds(42..48);
}
