//! Taking connections from a listener and handing them to the workers.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bind::Bound;
use super::metrics;
use super::tls::Tls;
use crate::failure::{Code, Failure};

/// How long to wait when the system has no file or memory for another connection: long enough for some to
/// end, short enough that nobody gives up.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A connection on its way to a worker.
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Which listener it came to.
    pub listener: usize,
    /// How it is encrypted, if it is.
    pub tls: Option<Arc<Tls>>,
    /// Its place among the connections of this node; given back when it is dropped.
    pub permit: OwnedSemaphorePermit,
}

/// Takes connections of one listener.
pub(super) struct Acceptor {
    listener: usize,
    name: String,
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
    permits: Arc<Semaphore>,
    workers: Vec<Sender<Accepted>>,
    next: usize,
}

impl Acceptor {
    pub(super) fn new(
        listener: usize,
        bound: Bound,
        permits: Arc<Semaphore>,
        workers: Vec<Sender<Accepted>>,
    ) -> Result<Self, Failure> {
        let socket = TcpListener::from_std(bound.socket)
            .map_err(|error| Failure::because(Code::SystemRefused, "a listener cannot be waited for", error))?;
        Ok(Self { listener, name: bound.name, socket, tls: bound.tls, permits, workers, next: listener })
    }

    /// Accepts until the soft stop; then the socket is closed, so that new clients go elsewhere.
    pub(super) fn start(mut self, life: &Lifecycle) {
        let stop = life.soft().clone();
        life.spawn(TaskKind::Critical, "acceptor", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.run() => {}
            }
        });
    }

    async fn run(&mut self) {
        loop {
            // The permit comes first: without one, connections wait in the system's queue and cost us nothing.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let (stream, peer) = match self.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.pause_after(&error).await;
                    continue;
                }
            };
            metrics::accepted();
            let accepted = Accepted { stream, peer, listener: self.listener, tls: self.tls.clone(), permit };
            if self.hand_over(accepted).await.is_err() {
                return;
            }
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        // Leaves this runtime's reactor, to join that of its worker.
        Ok((stream.into_std()?, peer))
    }

    /// To the next worker in turn; one whose queue is full is passed over while another has room.
    async fn hand_over(&mut self, accepted: Accepted) -> Result<(), ()> {
        let count = self.workers.len();
        let turn = self.next;
        self.next = (turn + 1) % count;
        for at in 0..count {
            if let Ok(place) = self.workers[(turn + at) % count].try_reserve() {
                place.send(accepted);
                return Ok(());
            }
        }
        self.workers[turn % count].send(accepted).await.map_err(|_| ())
    }

    /// A client that went away while it waited is nothing; a lack of files or memory passes, if we wait.
    async fn pause_after(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock) {
            return;
        }
        metrics::accept_failed();
        tracing::warn!(listener = self.name, error = %error, "a connection could not be taken, trying again");
        tokio::time::sleep(NO_ROOM).await;
    }
}
