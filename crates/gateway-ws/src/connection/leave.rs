//! The end of a connection.

use std::future::poll_fn;
use std::task::Poll;

use fanfare_session::Goodbye;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Connection, Ending};
use crate::frame::{self, Violation};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Says what there is to say and closes, within `close_timeout`.
    pub(super) async fn leave(&mut self, ending: Ending) {
        // After a client's close nothing more comes from it (RFC 6455 section 5.5.1).
        let more_may_come = !matches!(ending, Ending::Closed(_));
        // Whether somebody wants it gone, so that nobody should wait for it to come back.
        let wanted = match ending {
            Ending::Gone => return,
            Ending::Stalled => {
                // It takes nothing, so there is no way to tell it, and the middle of a frame may be on its way.
                self.client.end(Goodbye::Stalled);
                return;
            }
            Ending::Closed(close) => {
                // The answer to a close has its code (RFC 6455 section 5.5.1).
                self.client.outbox().push(frame::close(close.code, ""));
                close.is_wanted()
            }
            Ending::Violated(violation) => {
                Self::violated(violation);
                self.client.end(match violation {
                    Violation::TooLarge => Goodbye::TooLarge,
                    _ => Goodbye::BadRequest,
                });
                self.client.outbox().push(frame::close(Some(violation.code()), &violation.to_string()));
                false
            }
            Ending::Verdict(goodbye) => {
                self.client.say_goodbye(goodbye);
                self.client.outbox().push(frame::close(Some(goodbye.code()), goodbye.reason()));
                goodbye.is_wanted()
            }
        };
        let time = self.settings.options.close_timeout.get();
        let closing = async {
            if wanted {
                self.client.leave_all().await;
            }
            self.close(more_may_come).await;
        };
        // Late or not, it is over.
        drop(tokio::time::timeout(time, closing).await);
    }

    /// Sends what waits, says that no more comes, and, if more may come from the client, waits until it has said the
    /// same: closing a socket with unread input would throw away what is on its way to the client.
    async fn close(&mut self, more_may_come: bool) {
        let sent = poll_fn(|cx| match self.flush(cx) {
            Ok(()) if self.is_blocked() => Poll::Pending,
            done => Poll::Ready(done),
        });
        if sent.await.is_err() || self.stream.shutdown().await.is_err() || !more_may_come {
            return;
        }
        let mut scratch = Box::new([0; 1024]);
        while self.stream.read(&mut *scratch).await.is_ok_and(|count| count > 0) {}
    }
}
