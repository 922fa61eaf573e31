//! Workers: one thread and one single-threaded runtime each.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::acceptor::Accepted;
use super::bind::Bound;
use super::connection::{Answers, Http};
use super::roles::Roles;
use crate::config::{Config, Serves};
use crate::failure::{Code, Failure};

/// Connections that may wait for one worker: a burst of reconnects, not a backlog; the rest waits in the system.
const QUEUE: usize = 256;
/// How long tasks may take to notice the hard stop.
const STOP: Duration = Duration::from_secs(2);

/// The worker threads.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them. Returns also the queues by which sockets are handed to them.
    pub(super) fn start(
        config: &Config,
        bound: &[Bound],
        roles: &Arc<Roles>,
        life: &Lifecycle,
    ) -> Result<(Self, Vec<Sender<Accepted>>), Failure> {
        let serves: Arc<[Vec<Serves>]> = bound.iter().map(|bound| bound.serves.clone()).collect();
        let mut threads = Vec::new();
        let mut queues = Vec::new();
        for index in 0..config.worker_count() {
            let (queue, inbox) = mpsc::channel(QUEUE);
            let worker = Worker { index, inbox, http: Arc::new(Http::new(&config.http, life)), life: life.clone() };
            let (runtime, roles, serves) = (runtime()?, Arc::clone(roles), Arc::clone(&serves));
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || runtime.block_on(worker.run(&roles, &serves)))
                .map_err(|error| Failure::because(Code::SystemRefused, "a worker cannot be started", error))?;
            threads.push(thread);
            queues.push(queue);
        }
        Ok((Self { threads }, queues))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Waits until they have ended, after the hard stop. The main runtime goes on meanwhile: they wait for its
    /// tasks as for their own.
    pub(super) async fn joined(self) {
        for thread in self.threads {
            let ended = tokio::task::spawn_blocking(|| thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("a worker panicked");
            }
        }
    }
}

/// A single-threaded runtime.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because(Code::SystemRefused, "a runtime cannot be started", error))
}

struct Worker {
    index: usize,
    inbox: Receiver<Accepted>,
    http: Arc<Http>,
    life: Lifecycle,
}

impl Worker {
    async fn run(self, roles: &Roles, serves: &[Vec<Serves>]) {
        let life = self.life.clone();
        roles.start_worker(self.index);
        let answers: Vec<Answers> = serves.iter().map(|serves| roles.answers(self.index, serves)).collect();
        life.spawn(TaskKind::Critical, "worker", self.take(answers));
        life.hard().cancelled().await;
        // What runs on this runtime is dropped with it if it does not end by itself.
        if tokio::time::timeout(STOP, life.ended()).await.is_err() {
            tracing::debug!(tasks = life.tasks(), "tasks were dropped at the stop");
        }
    }

    /// Ends when the acceptors have.
    async fn take(mut self, answers: Vec<Answers>) {
        while let Some(accepted) = self.inbox.recv().await {
            let answers = answers[accepted.listener].clone();
            self.life.spawn(TaskKind::Connection, "connection", Arc::clone(&self.http).serve(accepted, answers));
        }
    }
}
