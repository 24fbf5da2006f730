//! The core thread's and the commit thread's part: what a step wrote is on the disk before anybody sees what
//! it said. Here processes die before a commit, after it, and between two of its outputs.

use starling_messenger::job::{Job, JobResult, Lane, StampJob};
use starling_messenger::record::{VaultWrite, changed_history, read_history};
use starling_messenger::turn::{Input, JobId, Output, Turn};

use super::event::{Event, Place};
use super::plan::{below, chance};
use super::sabotage::Sabotage;
use super::world::World;

/// Where in a commit a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    BeforeCommit,
    AfterOutputs(usize),
}

impl World {
    /// Gives a running process one input.
    pub(super) fn step(&mut self, place: Place, input: Input) {
        let now = self.now_of(place);
        let node = &mut self.nodes[place];
        let Some(core) = &mut node.core else { return };
        let turn = core.step(input, now, &mut node.rng);
        self.counts.steps += 1;
        self.checks.memory(self.at_ms, node, self.sabotage == Some(Sabotage::TinyMemory));
        self.hand_on(place, turn);
        self.plan_wake(place);
    }

    /// A turn without writes is released at once, any other after its commit.
    pub(super) fn hand_on(&mut self, place: Place, mut turn: Turn) {
        self.sabotage_turn(place, &mut turn);
        let durable = !turn.writes.is_empty() || turn.outputs.iter().any(|output| matches!(output, Output::Event(_)));
        if !durable {
            self.check_leaving(place, &turn.outputs);
            return self.release_all(place, turn.outputs);
        }
        self.checks.waits(self.at_ms, &self.nodes[place].name, &turn);
        if self.sabotage == Some(Sabotage::EarlyRelease) {
            let outputs = std::mem::take(&mut turn.outputs);
            self.check_leaving(place, &outputs);
            self.release_all(place, outputs);
        }
        self.nodes[place].waiting.push_back(turn);
        self.begin_commit(place);
    }

    fn begin_commit(&mut self, place: Place) {
        let mut disk_ms = 1 + below(&mut self.rng, self.plan.bad.disk_ms);
        if !self.calm && chance(&mut self.rng, 1) {
            // Another program writes a film.
            disk_ms += below(&mut self.rng, 5_000);
        }
        let node = &mut self.nodes[place];
        if !node.committing.is_empty() || node.waiting.is_empty() {
            return;
        }
        node.committing = node.waiting.drain(..).collect();
        self.queue.put(self.at_ms + disk_ms, Event::Committed { node: place, life: node.life });
    }

    /// The disk has written.
    pub(super) fn on_committed(&mut self, place: Place) {
        let turns = std::mem::take(&mut self.nodes[place].committing);
        let outputs: usize = turns.iter().map(|turn| turn.outputs.len()).sum();
        let death = self.death_in_commit(outputs);
        if death == Some(Death::BeforeCommit) {
            self.crash_and_return(place);
            return;
        }
        let mut released = Vec::with_capacity(outputs);
        for turn in turns {
            self.check_commit(place, &turn);
            self.write(place, turn.writes);
            // Now, since a later turn of the same commit may delete what this one sends.
            self.check_leaving(place, &turn.outputs);
            released.extend(turn.outputs);
        }
        if let Some(Death::AfterOutputs(count)) = death {
            released.truncate(count);
            self.release_all(place, released);
            self.crash_and_return(place);
        } else {
            self.release_all(place, released);
            self.begin_commit(place);
        }
    }

    /// What leaves a node is on its disk.
    fn check_leaving(&mut self, place: Place, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Compute { job: Job::Stamp(StampJob { head, body, .. }), .. } => {
                    self.checks.leaves_sealed(self.at_ms, &self.nodes[place], head, body);
                }
                Output::Push { link, cell, .. } => self.check_cell(place, *link, cell),
                _ => {}
            }
        }
    }

    /// Somebody stops a node properly: all that was said is committed and told, then the process ends.
    pub(super) fn stop(&mut self, place: Place) {
        let now = self.now_of(place);
        let node = &mut self.nodes[place];
        let Some(core) = node.core.as_mut().filter(|_| node.asleep_until_ms.is_none()) else { return };
        let last = core.shut_down(now, &mut node.rng);
        let mut turns = std::mem::take(&mut node.committing);
        turns.extend(node.waiting.drain(..));
        turns.push(last);
        for turn in turns {
            self.check_commit(place, &turn);
            self.write(place, turn.writes);
            // Now, since a later turn of the same commit may delete what this one sends.
            self.check_leaving(place, &turn.outputs);
            self.release_all(place, turn.outputs);
        }
        self.crash(place, false);
    }

    fn death_in_commit(&mut self, outputs: usize) -> Option<Death> {
        if self.calm || below(&mut self.rng, 10_000) >= self.plan.bad.commit_crash_per_myriad {
            return None;
        }
        self.counts.commit_crashes += 1;
        Some(match below(&mut self.rng, 3) {
            0 => Death::BeforeCommit,
            1 => Death::AfterOutputs(0),
            _ => Death::AfterOutputs(below(&mut self.rng, outputs as u64 + 1) as usize),
        })
    }

    fn write(&mut self, place: Place, writes: Vec<VaultWrite>) {
        let vault = &mut self.nodes[place].vault;
        for write in writes {
            match write {
                VaultWrite::Put { key, value } => {
                    vault.insert(key, value.to_vec());
                }
                VaultWrite::Delete { key } => {
                    vault.remove(&key);
                }
                VaultWrite::Change { key, change } => {
                    if let Some(stored) = vault.get_mut(&key)
                        && let Some(changed) = changed_history(stored, &change)
                    {
                        *stored = changed.to_vec();
                    }
                }
                VaultWrite::Read { key, read_unix_ms } => {
                    if let Some(stored) = vault.get_mut(&key)
                        && let Some(read) = read_history(stored, read_unix_ms)
                    {
                        *stored = read.to_vec();
                    }
                }
            }
        }
    }

    fn release_all(&mut self, place: Place, outputs: Vec<Output>) {
        outputs.into_iter().for_each(|output| self.release(place, output));
    }

    fn release(&mut self, place: Place, output: Output) {
        match output {
            Output::Verdict { token, verdict } => self.on_verdict(place, token, verdict),
            Output::Publish { id, envelope, .. } => self.on_publish(place, id, &envelope),
            Output::Push { id, link, cell } => self.on_push(place, id, link, cell),
            Output::CellAnswer { ticket, taken } => self.on_cell_answer(place, ticket, taken),
            Output::StartSync { link, window, watch } => self.on_start_sync(place, link, window, watch),
            Output::Penalize { link, fault } => self.on_penalize(place, link, fault),
            Output::Compute { id, job } => self.on_compute(place, id, job),
            Output::CancelCompute { id } => self.on_cancel(place, id),
            Output::Reply { id, reply } => self.on_reply(place, id, reply),
            // Events leave by the log, with their commit.
            Output::Event(_) => {}
        }
    }

    fn on_compute(&mut self, place: Place, id: JobId, job: Job) {
        if let Job::Stamp(StampJob { head, .. }) = &job {
            self.counts.sealed += 1;
            let (tag, epoch) = (head.tag, head.epoch.0);
            self.note(place, || format!("sealed tag {tag:?} in hour {epoch}"));
        }
        let takes_ms = match job.lane() {
            Lane::Verify | Lane::Search => 1 + below(&mut self.rng, 20),
            Lane::Stamp => 20 + below(&mut self.rng, 400),
        };
        let node = &mut self.nodes[place];
        node.jobs.insert(id, true);
        let result = job.run(&std::sync::atomic::AtomicBool::new(false), &mut node.rng);
        self.queue.put(self.at_ms + takes_ms, Event::Computed { node: place, life: node.life, id, result });
    }

    fn on_cancel(&mut self, place: Place, id: JobId) {
        // Half of the time the worker was done already.
        let in_time = below(&mut self.rng, 2) == 0;
        if let Some(wanted) = self.nodes[place].jobs.get_mut(&id) {
            *wanted = !in_time;
        }
    }

    /// A worker is done.
    pub(super) fn on_computed(&mut self, place: Place, id: JobId, result: JobResult) {
        let wanted = self.nodes[place].jobs.remove(&id).unwrap_or(false);
        let result = match result {
            JobResult::Stamped(_) if !wanted => JobResult::Stamped(None),
            result => result,
        };
        if let JobResult::Stamped(Some(envelope)) = &result {
            let (tag, id) = (envelope.tag(), envelope.id());
            self.note(place, || format!("stamped tag {tag:?} as {id:?}"));
        }
        self.step(place, Input::Computed { id, result });
    }
}
