//! What this machine gives us: open files and cores.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Files that are opened besides connections.
const FILES: u64 = 128;

/// Raises the limit of open files as far as the system lets us; servers that are started here inherit it.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let system = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse::<u64>().ok());
    // Only root may go beyond the hard limit.
    for most in [system, limit.maximum].into_iter().flatten() {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).is_ok() {
            return;
        }
    }
}

/// The limit of open files.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// An error that says what to do, unless so many connections more can be open.
pub(crate) fn expect_open_files(connections: u64) -> anyhow::Result<()> {
    let limit = open_files_max();
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    let needed = open + connections + FILES;
    ensure!(
        needed <= limit,
        "{connections} connections more, with the {open} files that are open, need a limit of {needed} open files and it is \
         {limit}: raise it with `ulimit -n {needed}`, as root, or hold fewer"
    );
    Ok(())
}

/// Runs this thread, and those it starts, on one core only.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("the generator cannot be pinned to core {core}"))
}

/// Time that this process has spent on processors, all its threads together.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
