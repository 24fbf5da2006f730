//! Each checker sees what it is there for: worlds that are broken on purpose, one way each.

use std::collections::BTreeSet;

use starling_tests::sim::{Plan, Rule, Sabotage, World};

/// Nodes of a broken world.
const NODES: usize = 8;

/// A world in which crashes happen, but nothing that would hide the sabotage.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::of_seed(seed * 6, NODES);
    plan.hostile = 0;
    plan.crashes = 16;
    plan.texts = 60;
    plan.bad.commit_crash_per_myriad = 40;
    (plan.blocks, plan.removals) = (0, 0);
    plan.settle_ms = 3 * 3_600_000;
    plan
}

/// Some seed breaks the rule, and no seed breaks another one before it.
#[track_caller]
fn is_seen(sabotage: Sabotage, rule: Rule) {
    let mut broken = BTreeSet::new();
    for seed in 1..5 {
        let report = World::new(plan(seed), Some(sabotage), false).run();
        let first = report.violations.first().map(|violation| violation.rule);
        if first == Some(rule) {
            return;
        }
        broken.extend(report.violations.iter().map(|violation| violation.to_string()));
    }
    panic!("{sabotage:?} was not seen as {rule:?}: {broken:#?}");
}

#[test]
fn unbroken_worlds_keep_all_rules() {
    for seed in 1..5 {
        World::new(plan(seed), None, false).run().assert_good();
    }
}

#[test]
fn a_disk_that_loses_received_messages() {
    is_seen(Sabotage::LoseHistory, Rule::DeliveredIsThere);
}

#[test]
fn a_disk_that_loses_messages_on_their_way() {
    is_seen(Sabotage::LoseOutbox, Rule::CommittedFirst);
}

#[test]
fn a_disk_that_loses_reactions_wordings_and_ends() {
    is_seen(Sabotage::LoseChanges, Rule::SidesAgree);
}

#[test]
fn a_node_that_takes_no_note_of_what_was_read() {
    is_seen(Sabotage::LoseReads, Rule::SidesAgree);
}

#[test]
fn a_message_shown_as_read_that_nobody_has_read() {
    is_seen(Sabotage::FalseRead, Rule::ReadIsTrue);
}

#[test]
fn pushes_that_never_arrive() {
    is_seen(Sabotage::LosePushes, Rule::AllDelivered);
}

#[test]
fn a_node_that_forgets_what_programs_sent() {
    is_seen(Sabotage::ForgetClientIds, Rule::SentOnce);
}

#[test]
fn a_torn_record() {
    is_seen(Sabotage::TornRecord, Rule::Restarts);
}

#[test]
fn a_message_shown_twice() {
    is_seen(Sabotage::ShowTwice, Rule::ShownOnce);
}

#[test]
fn two_verdicts_and_none() {
    is_seen(Sabotage::TwoVerdicts, Rule::OneVerdict);
    is_seen(Sabotage::NoVerdict, Rule::OneVerdict);
}

#[test]
fn a_verdict_that_waits_for_the_disk() {
    is_seen(Sabotage::SlowVerdict, Rule::VerdictAtOnce);
}

#[test]
fn a_node_that_publishes_what_it_wrote() {
    is_seen(Sabotage::PublishOwn, Rule::OthersPublish);
}

#[test]
fn two_answers_to_a_cell() {
    is_seen(Sabotage::TwoAnswers, Rule::OneAnswer);
}

#[test]
fn a_node_that_starts_with_old_ratchets() {
    is_seen(Sabotage::OldSessions, Rule::KeyUsedOnce);
}

#[test]
fn outputs_released_before_their_commit() {
    is_seen(Sabotage::EarlyRelease, Rule::CommittedFirst);
}

#[test]
fn a_node_that_hears_nothing() {
    is_seen(Sabotage::Deaf, Rule::PoolsConverge);
}

#[test]
fn a_state_that_goes_back() {
    is_seen(Sabotage::StateBack, Rule::StatesForward);
}

#[test]
fn messages_in_the_wrong_places() {
    is_seen(Sabotage::Disorder, Rule::InOrder);
}

#[test]
fn memory_beyond_its_limits() {
    is_seen(Sabotage::TinyMemory, Rule::MemoryBounded);
}
