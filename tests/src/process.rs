//! What Linux says of a running process.

use std::fs;

/// Readings of a process from `/proc`.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStats {
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl ProcessStats {
    /// Reads them for `pid`; panics if there is no such process.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is running");
        let field = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .and_then(|number| number.parse().ok())
                .unwrap_or_else(|| panic!("/proc/{pid}/status has {name}"))
        };
        Self {
            rss_bytes: field("VmRSS:") * 1024,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is ours").count(),
            threads: usize::try_from(field("Threads:")).expect("a small number"),
        }
    }
}
