//! Keeps the process's memory, and with it keys and texts, out of core dumps, of debuggers of other processes, and of
//! the swap. What the system does not allow is said in the log; the node runs all the same.

/// What was reached, as the system tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guard {
    /// No core dump is ever written.
    pub(crate) no_core_dumps: bool,
    /// Processes of the same user cannot read this one's memory. Whoever is root always can.
    pub(crate) closed_to_debuggers: bool,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{guard, lock};
#[cfg(not(target_os = "linux"))]
pub(crate) use others::{guard, lock};

#[cfg(target_os = "linux")]
mod linux {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{
        DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
    };
    use rustix::thread::{CapabilitySet, capabilities};

    use super::Guard;

    /// No core dumps, no debuggers. For every command: passphrases pass through them all.
    pub(crate) fn guard() -> Guard {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        // What came of it is read back, and is all that counts.
        let _ = setrlimit(Resource::Core, none);
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        Guard {
            no_core_dumps: getrlimit(Resource::Core).current == Some(0),
            closed_to_debuggers: dumpable_behavior().is_ok_and(|now| now == DumpableBehavior::NotDumpable),
        }
    }

    /// Keeps all memory, present and to come, out of the swap; whether it could. Pages are locked as they are first
    /// used, so that it makes the process no larger. With a limit on locked memory, an allocation beyond it would fail
    /// one day: then nothing is locked.
    pub(crate) fn lock() -> bool {
        let may_all = getrlimit(Resource::Memlock).current.is_none()
            || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
        may_all && mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod others {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::Guard;

    /// No core dumps. For every command: passphrases pass through them all.
    pub(crate) fn guard() -> Guard {
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        Guard { no_core_dumps: getrlimit(Resource::Core).current == Some(0), closed_to_debuggers: false }
    }

    /// Not done on this system: without a way to lock pages as they are used, it would make the node many times larger.
    pub(crate) fn lock() -> bool {
        false
    }
}
