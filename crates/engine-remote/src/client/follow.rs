//! Hearing the hub's news, on a stream that is opened again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::Receive;
use fanfare_lifecycle::Backoff;
use fanfare_model::Event;
use fanfare_proto::engine as proto;
use metrics::Counter;
use proto::item::What;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::interest::Interest;
use super::link::Link;
use crate::{metrics as names, wire};

/// How many times as long as at first is waited at most before the stream is opened again.
const BACKOFF_MAX: u32 = 20;

pub(super) struct Follow {
    link: Arc<Link>,
    interest: Arc<Interest>,
    receive: Arc<dyn Receive>,
    reconnect_after: Duration,
    connects: Counter,
}

impl Follow {
    pub(super) fn new(
        link: Arc<Link>,
        interest: Arc<Interest>,
        receive: Arc<dyn Receive>,
        reconnect_after: Duration,
    ) -> Self {
        Self { link, interest, receive, reconnect_after, connects: names::connects() }
    }

    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.reconnect_after, self.reconnect_after * BACKOFF_MAX);
        loop {
            let mut heard = false;
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.hear(&mut heard) => ended,
            };
            if let Err(status) = ended {
                // Whoever configured it wrongly is to find it.
                if status.code() == Code::FailedPrecondition {
                    tracing::error!(hub = self.link.url(), why = status.message(), "the hub tells no news");
                } else {
                    tracing::warn!(
                        hub = self.link.url(),
                        why = status.message(),
                        "the hub's news have ended, asking again"
                    );
                }
            }
            if heard {
                backoff.reset();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Until the stream ends. Sets `heard` when the hub has said that it tells us.
    async fn hear(&self, heard: &mut bool) -> Result<(), Status> {
        let mut engine = self.link.engine();
        let opened = tokio::time::timeout(self.link.timeout(), engine.follow(self.interest.tell())).await;
        let opened = opened.map_err(|_| Status::deadline_exceeded("the hub did not answer in time"))?;
        let mut news = opened?.into_inner();
        while let Some(news) = news.message().await? {
            self.take(news, heard).map_err(|malformed| Status::internal(malformed.to_string()))?;
        }
        Ok(())
    }

    fn take(&self, news: proto::News, heard: &mut bool) -> Result<(), wire::Malformed> {
        let mut events: Vec<Arc<Event>> = Vec::new();
        for item in news.items {
            match item.what {
                Some(What::Stored(stored)) => {
                    events.push(wire::log::to_stored(&stored)?);
                    continue;
                }
                // In the order in which it happened.
                _ if !events.is_empty() => self.receive.stored(&std::mem::take(&mut events)),
                _ => {}
            }
            match item.what {
                Some(What::Reset(reset)) => self.receive.reset(&wire::log::to_reset(&reset)?),
                Some(What::Heard(of)) => {
                    self.receive.heard(&wire::to_topic(of.topic.as_ref())?, wire::to_position(of.last)?);
                }
                Some(What::Lost(_)) => self.receive.lost(),
                Some(What::Confirmed(upto)) => self.confirmed(upto, heard),
                // Of a later version; or an event, which was taken above.
                Some(What::Stored(_)) | None => {}
            }
        }
        if !events.is_empty() {
            self.receive.stored(&events);
        }
        Ok(())
    }

    fn confirmed(&self, upto: u64, heard: &mut bool) {
        self.interest.confirm(upto);
        if !std::mem::replace(heard, true) {
            self.connects.increment(1);
            // What happened between this stream and the one before was not told.
            self.receive.lost();
        }
    }
}
