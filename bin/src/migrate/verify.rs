//! Reading both sides again, and comparing them.

use fanfare_bus::Head;
use fanfare_model::{Event, TopicKey};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::copy::{TOPICS_AT_ONCE, as_of_then};
use super::progress::Progress;
use super::walk::Walk;
use crate::failure::{Code, Failure};
use crate::serve::engine::Kept;

/// Compares every event that is kept at the new place with what it was. Returns how many the new policies did not keep.
pub(super) async fn topics(
    from: &Kept,
    to: &Kept,
    topics: &[TopicKey],
    keeps_places: bool,
    progress: &Progress,
) -> Result<u64, Failure> {
    let kept = topics.iter().filter(|topic| to.policies.of(&topic.topic).history);
    let mut reading =
        stream::iter(kept).map(|topic| self::topic(from, to, topic, keeps_places)).buffer_unordered(TOPICS_AT_ONCE);
    let mut trimmed = 0;
    while let Some(beyond) = reading.try_next().await? {
        trimmed += beyond;
        progress.topic();
    }
    Ok(trimmed)
}

async fn topic(from: &Kept, to: &Kept, topic: &TopicKey, keeps_places: bool) -> Result<u64, Failure> {
    let differs = |what: &str| Err(different(topic, what));
    if keeps_places && head(from, topic).await?.last != head(to, topic).await?.last {
        return differs("does not end at the same position (epoch, offset and tag)");
    }
    let mut old = Walk::from(from, topic, 0);
    let mut new = Walk::from(to, topic, 0);
    let mut trimmed = 0;
    let mut begun = false;
    let mut expected = new.event().await?;
    while let Some(was) = old.event().await? {
        match &expected {
            Some(is) if is_same(&was, is, keeps_places) => {}
            // What comes before the first one that is kept here was trimmed, and so was all if none is.
            _ if !begun => {
                trimmed += 1;
                continue;
            }
            Some(_) => return differs("has another event in one place"),
            None => return differs("ends before it did"),
        }
        begun = true;
        expected = new.event().await?;
    }
    if expected.is_some() { differs("has events that were not there") } else { Ok(trimmed) }
}

fn is_same(was: &Event, is: &Event, keeps_places: bool) -> bool {
    if keeps_places { was == is } else { as_of_then(was) == is.draft }
}

async fn head(kept: &Kept, topic: &TopicKey) -> Result<Head, Failure> {
    Ok(Walk::from(kept, topic, u64::MAX).page().await?.1)
}

fn different(topic: &TopicKey, what: &str) -> Failure {
    let TopicKey { tenant, topic } = topic;
    let text = format!(
        "the topic `{topic}` of the tenant `{tenant}` {what}\n  fix: see that no node runs on either engine, and that the \
         new one was empty; then move again"
    );
    Failure::new(Code::MoveFailed, text)
}
