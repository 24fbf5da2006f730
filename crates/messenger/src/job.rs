//! Work that takes a core for longer than a step may: given to a worker thread, answered by
//! [`crate::turn::Input::Computed`]. In the simulator a job runs inline after a virtual delay.
