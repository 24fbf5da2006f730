//! What goes wrong, drawn before the run begins: crashes, power cuts, restart storms, sleep, wrong clocks,
//! networks that fall apart.

use rand_core::Rng;
use starling_messenger::turn::Input;

use super::event::{Event, Place};
use super::plan::{HOUR_MS, MINUTE_MS, SECOND_MS, Span, below, chance};
use super::world::World;

/// Something that goes wrong, or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A machine is switched on.
    Start(Place),
    /// A process dies.
    Crash {
        /// Whose.
        node: Place,
        /// The whole machine loses its power.
        power_cut: bool,
        /// It is down so long.
        down_ms: u64,
    },
    /// Somebody stops a node properly.
    Stop {
        /// Whose.
        node: Place,
        /// It is down so long.
        down_ms: u64,
    },
    /// The power fails for one machine in so many.
    Blackout(u64),
    /// A disk has so many bytes left.
    Disk {
        /// Whose.
        node: Place,
        /// Bytes.
        free_bytes: u64,
    },
    /// A machine sleeps.
    Sleep {
        /// Which.
        node: Place,
        /// So long.
        for_ms: u64,
        /// Its monotonic clock stands still meanwhile.
        clock_stands: bool,
    },
    /// It wakes.
    Wake {
        /// Which.
        node: Place,
        /// After so long.
        slept_ms: u64,
        /// Its monotonic clock stood still.
        clock_stood: bool,
    },
    /// The network falls apart into so many islands.
    FallApart(u64),
    /// All is one again.
    GrowTogether,
    /// Somebody sets a clock wrong by so much, or right.
    Skew {
        /// Whose.
        node: Place,
        /// Their wall clock minus the true time, ms.
        ms: i64,
    },
}

impl World {
    fn fault_at(&mut self, at_ms: u64, fault: Fault) {
        self.queue.put(at_ms, Event::Fault(fault));
    }

    fn any_node(&mut self) -> Place {
        below(&mut self.rng, self.plan.nodes as u64) as usize
    }

    fn any_time(&mut self) -> u64 {
        below(&mut self.rng, self.plan.trouble_ms)
    }

    /// Short absences are common, long ones rare.
    fn any_absence(&mut self) -> u64 {
        let span_ms = if chance(&mut self.rng, 60) { self.plan.away_ms / 20 } else { self.plan.away_ms };
        100 + below(&mut self.rng, span_ms)
    }

    /// Switches every node on within a while.
    pub fn start_all(&mut self, within_ms: u64) {
        for node in 0..self.plan.nodes {
            let at_ms = below(&mut self.rng, within_ms);
            self.fault_at(at_ms, Fault::Start(node));
            let rotation_ms = self.rotation_ms();
            let first_ms = rotation_ms / 2 + below(&mut self.rng, rotation_ms);
            self.queue.put(first_ms, Event::Rotate { node });
        }
        for node in self.plan.nodes..self.nodes.len() {
            let secret = &mut [0; 32];
            self.rng.fill_bytes(secret);
            self.nodes[node].onion_secret = *secret;
            self.dial_soon(node, within_ms);
            self.queue.put(within_ms, Event::Harm { node });
        }
    }

    /// Draws everything that is to go wrong.
    pub(super) fn plan_faults(&mut self) {
        self.start_all(if self.plan.span == Span::Minutes { 20 * SECOND_MS } else { HOUR_MS });
        self.plan_clocks();
        self.plan_deaths();
        self.plan_absences();
        for _ in 0..self.plan.full_disks {
            let (node, at_ms, for_ms) = (self.any_node(), self.any_time(), self.any_absence());
            let free_bytes = if chance(&mut self.rng, 50) { 20 << 20 } else { 200 << 20 };
            self.fault_at(at_ms, Fault::Disk { node, free_bytes });
            self.fault_at(at_ms + for_ms, Fault::Disk { node, free_bytes: 20 << 30 });
        }
    }

    fn plan_clocks(&mut self) {
        for _ in 0..self.plan.skewed {
            let (node, off_ms) = (self.any_node(), below(&mut self.rng, 40 * MINUTE_MS) as i64);
            self.fault_at(0, Fault::Skew { node, ms: off_ms - 20 * MINUTE_MS as i64 });
        }
        if self.plan.skewed > 0 && chance(&mut self.rng, 30) {
            let (node, at_ms) = (self.any_node(), self.any_time());
            let hours = 2 + below(&mut self.rng, 30) as i64;
            let ms = if chance(&mut self.rng, 50) { hours } else { -hours } * HOUR_MS as i64;
            self.fault_at(at_ms, Fault::Skew { node, ms });
        }
    }

    fn plan_deaths(&mut self) {
        for _ in 0..self.plan.blackouts {
            let (at_ms, share) = (self.any_time(), 1 + below(&mut self.rng, 4));
            self.fault_at(at_ms, Fault::Blackout(share));
        }
        for _ in 0..self.plan.stops {
            let (at_ms, node, down_ms) = (self.any_time(), self.any_node(), self.any_absence());
            self.fault_at(at_ms, Fault::Stop { node, down_ms });
        }
        for _ in 0..self.plan.crashes {
            let (at_ms, node, down_ms) = (self.any_time(), self.any_node(), self.any_absence());
            let power_cut = chance(&mut self.rng, 30);
            self.fault_at(at_ms, Fault::Crash { node, power_cut, down_ms });
        }
        if self.plan.crashes > 0 && chance(&mut self.rng, 40) {
            self.plan_storm();
        }
    }

    fn plan_absences(&mut self) {
        for _ in 0..self.plan.sleeps {
            let (at_ms, node, for_ms) = (self.any_time(), self.any_node(), self.any_absence());
            let clock_stands = chance(&mut self.rng, 50);
            self.fault_at(at_ms, Fault::Sleep { node, for_ms, clock_stands });
        }
        for _ in 0..self.plan.partitions {
            let (at_ms, islands) = (self.any_time(), 2 + below(&mut self.rng, 2));
            let for_ms = self.any_absence() * 2;
            self.fault_at(at_ms, Fault::FallApart(islands));
            self.fault_at(at_ms + for_ms, Fault::GrowTogether);
        }
    }

    /// One machine that starts and dies, over and over.
    fn plan_storm(&mut self) {
        let (node, mut at_ms) = (self.any_node(), self.any_time());
        for _ in 0..8 {
            let down_ms = 1 + below(&mut self.rng, SECOND_MS);
            self.fault_at(at_ms, Fault::Crash { node, power_cut: false, down_ms });
            at_ms += down_ms + below(&mut self.rng, 5 * SECOND_MS);
        }
    }

    /// Something goes wrong, unless trouble is over.
    pub(super) fn on_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Start(node) => self.start(node),
            Fault::Wake { node, slept_ms, clock_stood } => {
                if self.nodes[node].asleep_until_ms == Some(self.at_ms) {
                    self.wake_up(node, slept_ms, clock_stood);
                }
            }
            Fault::GrowTogether => self.grow_together(),
            Fault::Disk { node, free_bytes } => {
                self.note(node, || format!("has {} MiB free", free_bytes >> 20));
                self.step(node, Input::Disk { free_bytes });
            }
            _ if self.calm => {}
            Fault::Crash { node, power_cut, down_ms } => {
                self.crash(node, power_cut);
                self.fault_at(self.at_ms + down_ms, Fault::Start(node));
            }
            Fault::Stop { node, down_ms } => {
                self.stop(node);
                self.fault_at(self.at_ms + down_ms, Fault::Start(node));
            }
            Fault::Blackout(share) => self.black_out(share),
            Fault::Sleep { node, for_ms, clock_stands } => {
                if self.nodes[node].core.is_some() && self.nodes[node].asleep_until_ms.is_none() {
                    self.fall_asleep(node, for_ms);
                    let wake = Fault::Wake { node, slept_ms: for_ms, clock_stood: clock_stands };
                    self.fault_at(self.at_ms + for_ms, wake);
                }
            }
            Fault::FallApart(islands) => {
                self.trace.line(self.at_ms, "world", || format!("falls apart into {islands}"));
                self.fall_apart(islands);
            }
            Fault::Skew { node, ms } => {
                self.note(node, || format!("clock is off by {} s", ms / 1_000));
                self.nodes[node].skew_ms = ms;
            }
        }
    }

    /// The power fails for one machine in `share`, and comes back for each when somebody notices.
    fn black_out(&mut self, share: u64) {
        self.trace.line(self.at_ms, "world", || format!("blackout of one in {share}"));
        for node in 0..self.plan.nodes {
            if below(&mut self.rng, share) == 0 {
                let down_ms = self.any_absence();
                self.crash(node, true);
                self.fault_at(self.at_ms + down_ms, Fault::Start(node));
            }
        }
    }

    /// A process dies in the middle of something, and is started again after a while.
    pub(super) fn crash_and_return(&mut self, place: Place) {
        let (power_cut, down_ms) = (chance(&mut self.rng, 30), self.any_absence());
        self.crash(place, power_cut);
        self.fault_at(self.at_ms + down_ms, Fault::Start(place));
    }

    /// From now on nothing goes wrong: the network is whole, clocks are right, who is down starts, who sleeps
    /// wakes in time.
    pub(super) fn end_trouble(&mut self) {
        self.trace.line(self.at_ms, "world", || "trouble is over".to_owned());
        self.calm = true;
        self.grow_together();
        for place in 0..self.plan.nodes {
            self.nodes[place].skew_ms = below(&mut self.rng, 2 * SECOND_MS) as i64 - SECOND_MS as i64;
            let in_ms = below(&mut self.rng, 20 * SECOND_MS);
            self.fault_at(self.at_ms + in_ms, Fault::Start(place));
        }
    }
}
