//! Processes under measurement: started, watched and ended by their ids.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the servers of a folder say what they have to say.
const LOG: &str = "output.log";
/// How many lines of it are shown when one has ended.
const LAST_WORDS: usize = 5;

/// A command that runs until it is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command line, on one core if `core` says which.
    pub(crate) fn start(line: &[String], core: Option<usize>, dir: &Path) -> anyhow::Result<Self> {
        let mut words = line.iter();
        let program = words.next().context("a command line is empty")?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string(), program]);
                command
            }
            None => Command::new(program),
        };
        let log = OpenOptions::new().create(true).append(true).open(dir.join(LOG))?;
        let child = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{program} could not be started"))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(crate) fn expect_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("the server has ended: {status}"),
            None => Ok(()),
        }
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop, and kills it and its children if it does not.
    fn stop(&mut self) {
        let family = family(self.id());
        self.ask_to_stop();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill(&family);
    }

    fn kill(&mut self, family: &[u32]) {
        // A reaped id might be somebody else's by now; a child's parent is gone or still in the family.
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for pid in family.iter().filter(|pid| **pid != self.child.id()) {
            if parents().get(pid).is_some_and(|parent| *parent == 1 || family.contains(parent)) {
                signal(*pid, Signal::KILL);
            }
        }
    }
}

/// The last lines that the servers of a folder have said, to stand behind a sentence.
pub(crate) fn last_words(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
    if last.is_empty() { String::new() } else { format!("; its last words: {}", last.join("\n")) }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = family(self.id());
        if family.len() > 1 {
            self.stop();
        } else {
            self.kill(&family);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// What a server has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory in bytes, of the process and its children.
    pub(crate) resident: u64,
    /// Time on a processor since each process began.
    pub(crate) cpu: Duration,
}

/// What the processes and their children use now.
pub(crate) fn usage(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids.iter().flat_map(|pid| family(*pid)) {
        sum.resident += resident(pid).unwrap_or(0);
        sum.cpu += cpu(pid).unwrap_or_default();
    }
    sum
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Nanoseconds that the scheduler has counted, over all threads: finer than the ticks of `stat`.
fn cpu(pid: u32) -> Option<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    Some(Duration::from_nanos(sum))
}

/// Every process and its parent.
fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; state and parent follow it.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

/// The process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_process_and_its_children_are_seen_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::start(&line(&["sh", "-c", "sleep 600 & wait"]), None, dir.path()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while family(process.id()).len() < 2 {
            process.expect_alive().unwrap();
            assert!(Instant::now() < deadline, "the shell has no child");
            std::thread::yield_now();
        }
        assert!(usage(&[process.id()]).resident > 0);
        let child = family(process.id())[1];
        drop(process);
        while Path::new(&format!("/proc/{child}")).exists() {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if state.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < deadline + PATIENCE, "the child lives on: {state}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn time_on_the_processor_is_counted() {
        let before = usage(&[std::process::id()]).cpu;
        let mut sum = 0_u64;
        while usage(&[std::process::id()]).cpu < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
