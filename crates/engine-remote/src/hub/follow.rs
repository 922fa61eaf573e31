//! The stream of one gateway: it says what it is interested in, and is told the news.

use std::sync::Arc;

use fanfare_lifecycle::Lifecycle;
use fanfare_proto::engine as proto;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use proto::item::What;
use tokio::sync::mpsc::Receiver;
use tonic::{Status, Streaming};

use super::followers::{Followers, Item, Joined};
use crate::wire;

/// The most items of one message: enough that a burst takes few.
const ITEMS_MAX: usize = 128;

struct Following {
    joined: Joined,
    items: Receiver<Item>,
    interests: Streaming<proto::Interest>,
    life: Lifecycle,
}

/// Ends when the gateway goes, when it says what cannot be understood, and at the soft stop: then it is to look for the
/// hub anew.
pub(super) fn follow(
    followers: &Arc<Followers>,
    interests: Streaming<proto::Interest>,
    life: Lifecycle,
) -> BoxStream<'static, Result<proto::News, Status>> {
    let (joined, items) = followers.join();
    let following = Following { joined, items, interests, life };
    unfold(Some(following), |following| async {
        let mut following = following?;
        match following.next().await {
            Ok(news) => Some((Ok(news), Some(following))),
            // The stream ends after it.
            Err(Some(status)) => Some((Err(status), None)),
            Err(None) => None,
        }
    })
    .boxed()
}

impl Following {
    /// What is to be told next, or why there is nothing more.
    async fn next(&mut self) -> Result<proto::News, Option<Status>> {
        let mut items = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.life.soft().cancelled() => return Err(None),
                interest = self.interests.message() => {
                    // A gateway that breaks off is nothing to tell it of.
                    let interest = interest.ok().flatten().ok_or(None)?;
                    self.take(&interest).map_err(|malformed| Some(malformed.into()))?;
                    if let Some(upto) = interest.upto {
                        return Ok(news([What::Confirmed(upto)]));
                    }
                }
                () = self.joined.follower.woken.notified() => {
                    if self.joined.follower.has_lost() {
                        return Ok(news([What::Lost(proto::Lost {})]));
                    }
                }
                taken = self.items.recv_many(&mut items, ITEMS_MAX) => {
                    if taken == 0 {
                        return Err(None);
                    }
                    return Ok(news(items.iter().map(|item| self.tell(item))));
                }
            }
        }
    }

    fn take(&mut self, interest: &proto::Interest) -> Result<(), wire::Malformed> {
        let topics = |keys: &[proto::TopicKey]| keys.iter().map(|key| wire::to_topic(Some(key))).collect();
        let (attach, detach): (Result<Vec<_>, _>, Result<Vec<_>, _>) =
            (topics(&interest.attach), topics(&interest.detach));
        self.joined.detach(detach?);
        self.joined.attach(attach?);
        Ok(())
    }

    fn tell(&self, item: &Item) -> What {
        self.joined.follower.taken(item);
        match item {
            Item::Stored(event) => What::Stored(wire::log::stored(event)),
            Item::Reset(reset) => What::Reset(wire::log::reset(reset)),
            Item::Heard(topic, last) => {
                What::Heard(proto::Heard { topic: Some(wire::topic(topic)), last: Some(wire::position(*last)) })
            }
        }
    }
}

fn news(items: impl IntoIterator<Item = What>) -> proto::News {
    proto::News { items: items.into_iter().map(|what| proto::Item { what: Some(what) }).collect() }
}
