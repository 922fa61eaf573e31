//! The end of a stream that the server ends, and of a connection.

use std::time::Duration;

use fanfare_session::Goodbye;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Framing;
use super::output::Output;
use super::seat::Seat;
use crate::chunk;
use crate::encode::Wire;
use crate::live::write_farewell;

/// How long a client that sends may take to hear that the connection is closed: a round trip of any real network. To
/// close with bytes unread would take from it what it has not read yet.
const LINGER: Duration = Duration::from_secs(1);

/// A stream that has ended and whose client is to be told.
pub(super) struct Leaving {
    pub(super) socket: TcpStream,
    pub(super) output: Output,
    pub(super) wire: Wire,
    /// Whether the client has sent something since its request, and so may again.
    pub(super) is_heard: bool,
}

impl Leaving {
    /// Says what waits and the farewell, ends the body, and closes.
    pub(super) async fn say(mut self, seat: &Seat, goodbye: Goodbye) {
        let gateway = &seat.gateway;
        let mut farewell = Vec::new();
        write_farewell(gateway, self.wire, goodbye, &mut farewell);
        if seat.framing == Framing::Chunked {
            let mut framed = Vec::new();
            chunk::write(&farewell, &mut framed);
            framed.extend_from_slice(chunk::LAST);
            farewell = framed;
        }
        let stop = gateway.node.life.hard();
        let saying = async {
            self.output.flush(&mut self.socket).await?;
            self.socket.write_all(&farewell).await
        };
        let said = tokio::select! {
            // One that takes nothing now has stalled.
            said = tokio::time::timeout(gateway.options.stall_timeout.get(), saying) => matches!(said, Ok(Ok(()))),
            () = stop.cancelled() => false,
        };
        if said {
            close(&mut self.socket, self.is_heard).await;
        }
    }
}

/// Closes a connection on which everything is said. `linger`: bytes of the client may still be on their way.
pub(super) async fn close(socket: &mut TcpStream, linger: bool) {
    if socket.shutdown().await.is_err() || !linger {
        return;
    }
    let mut bytes = [0; 512];
    let heard = async { while matches!(socket.read(&mut bytes).await, Ok(1..)) {} };
    // Whether it heard in time makes no difference: the connection goes now.
    let _ = tokio::time::timeout(LINGER, heard).await;
}
