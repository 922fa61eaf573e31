//! Where a connection sits while it waits, so that both its task and the worker's walk find it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use fanfare_bus::Serve;
use fanfare_session::client::Incoming;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Ending};

/// Both run on the connection's worker, so the lock is never waited for.
pub(super) struct Seat<S> {
    /// `None` while the task is carrying out a command: then nobody else can serve it, and the task does when it is
    /// back.
    connection: Mutex<Option<Box<Connection<S>>>>,
}

/// A connection that has been taken from its seat. It sits down again when this is dropped.
pub(super) struct Taken<'a, S> {
    seat: &'a Seat<S>,
    connection: Option<Box<Connection<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Seat<S> {
    /// Gives a connection its seat; from now on its news are served there.
    pub(super) fn new(mut connection: Connection<S>) -> Arc<Self> {
        Arc::new_cyclic(|seat: &Weak<Self>| {
            connection.client.serve_in_place(Weak::clone(seat) as Weak<dyn Serve>);
            Self { connection: Mutex::new(Some(Box::new(connection))) }
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Seat<S> {
    /// See [`Connection::poll`].
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Ending>> {
        self.connection.lock().as_mut().map_or(Poll::Pending, |connection| connection.poll(cx))
    }

    /// Takes the connection, to carry out something that may wait.
    pub(super) fn take(&self) -> Taken<'_, S> {
        Taken { seat: self, connection: self.connection.lock().take() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Serve for Seat<S> {
    fn serve(&self) {
        if let Some(connection) = self.connection.lock().as_mut() {
            connection.deliver_in_place();
        }
    }
}

impl<S> Deref for Taken<'_, S> {
    type Target = Connection<S>;

    fn deref(&self) -> &Connection<S> {
        self.connection.as_deref().expect("only the task takes it, once at a time")
    }
}

impl<S> DerefMut for Taken<'_, S> {
    fn deref_mut(&mut self) -> &mut Connection<S> {
        self.connection.as_deref_mut().expect("only the task takes it, once at a time")
    }
}

impl<S> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        *self.seat.connection.lock() = self.connection.take();
    }
}
