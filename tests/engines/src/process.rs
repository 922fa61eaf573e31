//! A server's process: started, killed, stopped, paused and started again.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::{PATIENCE, eventually};
use crate::program::Program;

/// The end of a log that is shown when a server does not come up, bytes.
const SHOWN_MAX: usize = 8 * 1024;

/// How long processes that were killed may take to be gone, or those that were stopped to stand still. The kernel does
/// either at once, unless they wait for a disk.
const GOING_MAX: Duration = Duration::from_secs(60);

/// How to start a server, and the process if it runs.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    user: Option<&'static str>,
    folder: PathBuf,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts `program` in `folder`, where its log is kept as well.
    pub(crate) fn start(name: &str, program: Program, arguments: Vec<String>, folder: &Path) -> Self {
        Self::start_as(None, name, program, arguments, folder)
    }

    /// As [`Process::start`], as another user: `PostgreSQL` refuses to run as root.
    pub(crate) fn start_as(
        user: Option<&'static str>,
        name: &str,
        program: Program,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Self {
        let process = Self {
            name: name.to_owned(),
            program: program.path(),
            arguments,
            user,
            folder: folder.to_owned(),
            log: folder.join("log"),
            child: Mutex::new(None),
        };
        process.spawn();
        process
    }

    /// Starts it again, which must be over.
    pub(crate) fn spawn(&self) {
        let mut child = self.child.lock();
        assert!(child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log is writable");
        *child = Some(spawn(self.command(&log)));
    }

    fn command(&self, log: &File) -> Command {
        let mut command = outliving_nobody(self.user);
        command.arg(&self.program).args(&self.arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a descriptor can be copied"));
        command.stderr(log.try_clone().expect("a descriptor can be copied"));
        command
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().as_mut().and_then(|child| child.try_wait().expect("our own child"))
    }

    /// Whether it was started and not yet ended by us.
    pub(crate) fn is_up(&self) -> bool {
        self.child.lock().is_some()
    }

    /// Polls `ready` until it is so; panics with the log if the process ends before or it takes too long.
    pub(crate) async fn until_ready(&self, mut ready: impl AsyncFnMut() -> bool) {
        let what = || format!("{} to be ready; its log:\n{}", self.name, self.log());
        eventually(what, async || {
            if let Some(status) = self.ended() {
                panic!("{} ended with {status} before it was ready; its log:\n{}", self.name, self.log());
            }
            ready().await.then_some(())
        })
        .await;
    }

    /// `kill -9`, and waits until it is gone. Nothing if it is gone already. Its children go with it: `PostgreSQL` has
    /// one for every connection, and they would hold on to its memory and answer for a moment longer.
    pub(crate) fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        let until = Instant::now() + GOING_MAX;
        // It makes no more children while it is stopped. An error here and below means that it has ended by itself.
        let _ = kill_process(pid, Signal::STOP);
        until_so(until, || stands_still(pid));
        let children = children(pid);
        if let Some(mut child) = self.child.lock().take() {
            let _ = child.kill();
            child.wait().expect("our own child");
        }
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        // They are not ours to wait for; a server that is started while one lives finds its memory in use.
        until_so(until, || !children.iter().any(|child| lives(*child)));
    }

    /// Sends `signal` and waits until the process has ended. Nothing if it is gone already.
    pub(crate) async fn end(&self, signal: Signal) {
        if !self.is_up() {
            return;
        }
        self.signal(Signal::CONT);
        self.signal(signal);
        eventually(|| format!("{} to end", self.name), async || self.ended()).await;
        self.child.lock().take();
    }

    /// Sends `signal`; panics if the process does not run.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid().unwrap_or_else(|| panic!("{} does not run", self.name));
        kill_process(pid, signal).expect("our own child");
    }

    /// SIGSTOP to it and to its children; returns when they stand still. Panics if the process does not run.
    pub(crate) fn pause(&self) {
        self.signal_all(Signal::STOP);
        // A signal reaches threads a moment after it was sent, and one that is at work finishes what it was asked.
        let until = Instant::now() + GOING_MAX;
        for pid in self.pid().into_iter().flat_map(|pid| children(pid).into_iter().chain([pid])) {
            assert!(until_so(until, || stands_still(pid)), "{} does not stop", self.name);
        }
    }

    /// SIGCONT to it and to its children; panics if the process does not run.
    pub(crate) fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Sends `signal` to it and to its children; panics if the process does not run.
    fn signal_all(&self, signal: Signal) {
        // First the parent: it makes no more children while it is stopped.
        self.signal(signal);
        for child in self.pid().map(children).unwrap_or_default() {
            // An error means that it has ended by itself.
            let _ = kill_process(child, signal);
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let child = self.child.lock();
        Pid::from_raw(i32::try_from(child.as_ref()?.id()).ok()?)
    }

    /// The end of what it printed.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_MAX)..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is so; whether it is, when the time is over.
fn until_so(until: Instant, is_so: impl Fn() -> bool) -> bool {
    while !is_so() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Whether a process runs: one that has ended and is not yet waited for by its parent does not.
fn lives(pid: Pid) -> bool {
    state(Path::new(&format!("/proc/{}", pid.as_raw_nonzero()))).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether no thread of a process runs.
fn stands_still(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let mut threads = threads.into_iter().flatten().flatten();
    threads.all(|thread| state(&thread.path()).is_none_or(|state| matches!(state, 'T' | 't' | 'Z' | 'X')))
}

/// The letter that the kernel has for what a process or thread does; `None` if it is gone.
fn state(folder: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

/// The children of a process that runs.
fn children(of: Pid) -> Vec<Pid> {
    let pid = of.as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The beginning of a command whose process ends when ours does, as `user` if one is given.
fn outliving_nobody(user: Option<&str>) -> Command {
    let mut command = Command::new(Program::SetPriv.path());
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.args(["--pdeathsig", "KILL"]);
    command
}

/// Runs a program to its end, as `user` if one is given; panics with what it printed if it fails, or does not end within
/// [`PATIENCE`].
pub(crate) async fn run(user: Option<&'static str>, program: Program, arguments: &[&str]) -> String {
    let mut command = outliving_nobody(user);
    command.arg(program.path()).args(arguments).current_dir("/");
    let output = tokio::process::Command::from(command).kill_on_drop(true).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.unwrap_or_else(|_| panic!("{program:?} {arguments:?} does not end")).expect("setpriv starts");
    assert!(
        output.status.success(),
        "{program:?} {arguments:?} ended with {} (signal {:?}): {}{}",
        output.status,
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts `command` from a thread that lives as long as the process: the kernel ends a child when the *thread* that
/// started it ends, and tests have a thread each.
fn spawn(command: Command) -> Child {
    type Order = (Command, SyncSender<std::io::Result<Child>>);
    static STARTER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, starts) = sync_channel::<Order>(0);
        let work = move || {
            for (mut command, answer) in starts {
                // The receiver waits for it below.
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("starter".to_owned()).spawn(work).expect("a thread can be started");
        orders
    });
    let (answer, child) = sync_channel(1);
    starter.send((command, answer)).expect("the starter never ends");
    child.recv().expect("the starter answers").expect("setpriv starts")
}
