//! Following topics for as long as wanted, over either transport, through disconnects.

use std::time::Duration;

use fanfare_lifecycle::Backoff;
use serde_json::Value;

use super::sse::Sse;
use super::ws::Ws;
use super::{Door, Show, Start};
use crate::failure::Failure;
use crate::print;

/// How soon a lost connection is made again, at first and at last, when the server did not say.
const COME_BACK: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
/// A server that asks for more than this is not taken at its word.
const ASKED_MAX: Duration = Duration::from_secs(300);

/// How events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    Ws,
}

/// Follows topics and shows what comes.
#[derive(Debug)]
pub(crate) struct Follow {
    pub door: Door,
    pub topics: Vec<String>,
    pub from: Start,
    pub show: Show,
    /// Ends after so many events.
    pub count: Option<u64>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As many events came as were wanted.
    Enough,
    /// It may be made again, after what the server asked for if it did.
    Lost { why: String, retry: Option<Duration> },
    /// It is of no use to come again.
    Over(Failure),
}

/// Shows events and counts them.
#[derive(Debug)]
pub(super) struct Sink {
    show: Show,
    left: Option<u64>,
    came: bool,
}

impl Sink {
    /// Shows an event. Returns whether more are wanted.
    pub(super) fn event(&mut self, event: &Value) -> bool {
        self.show.event(event);
        self.came = true;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.left != Some(0)
    }

    pub(super) fn gap(&mut self, gap: &Value) {
        self.show.gap(gap);
    }

    /// The connection works: what went wrong before is forgotten.
    pub(super) fn connected(&mut self) {
        self.came = true;
    }
}

impl Follow {
    /// Runs until as many events came as were wanted, or the server says that it is of no use to come again.
    pub(crate) async fn run(self, transport: Transport) -> Result<(), Failure> {
        let mut sink = Sink { show: self.show, left: self.count, came: false };
        if self.count == Some(0) {
            return Ok(());
        }
        match transport {
            Transport::Sse => {
                let mut sse = Sse::new(self.door, self.topics, self.from)?;
                repeat(&mut sink, async |sink| sse.connect(sink).await).await
            }
            Transport::Ws => {
                let mut ws = Ws::new(self.door, self.topics, &self.from);
                repeat(&mut sink, async |sink| ws.connect(sink).await).await
            }
        }
    }
}

async fn repeat(sink: &mut Sink, mut connect: impl AsyncFnMut(&mut Sink) -> Ended) -> Result<(), Failure> {
    let mut backoff = COME_BACK;
    loop {
        let ended = connect(sink).await;
        if std::mem::take(&mut sink.came) {
            backoff.reset();
        }
        match ended {
            Ended::Enough => return Ok(()),
            Ended::Over(failure) => return Err(failure),
            Ended::Lost { why, retry } => {
                // What the server asked for stands as it is: it has spread its clients already.
                let wait = retry.map_or_else(|| backoff.next_wait(), |asked| asked.min(ASKED_MAX));
                print::remark(format_args!("{why}; coming back in {} ms", wait.as_millis()));
                tokio::time::sleep(wait).await;
            }
        }
    }
}
