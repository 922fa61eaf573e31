//! Taking over the logs of another engine.

use std::sync::Arc;
use std::time::Duration;

use fanfare_history::{Error, Stretch, record};
use fanfare_model::{Event, Tag};
use redis::Value;

use super::Store;
use crate::answers;
use crate::error::Failure;
use crate::metrics::Operation;
use crate::scripts;
use crate::servers::Link;

impl Store {
    /// Writes a stretch of another engine's log.
    pub(crate) async fn restore(&self, stretch: Stretch) -> Result<(), Error> {
        self.check_open()?;
        let found = self.heads(std::slice::from_ref(&stretch.topic)).await?;
        let known = found.first().ok_or_else(|| Failure::Garbled("heads").of_log())?;
        if !stretch.fits(known) {
            return Err(Error::Occupied);
        }
        let mut end = known.last.offset;
        let new: Vec<_> = stretch.events.iter().filter(|event| event.offset > end).cloned().collect();
        let mut parts: Vec<&[Arc<Event>]> = new.chunks(self.options.group_events_max).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        for events in parts {
            if !self.put_back(&stretch, events, end).await.map_err(Failure::of_log)? {
                // Somebody has published there meanwhile.
                return Err(Error::Occupied);
            }
            end = events.last().map_or(end, |last| last.offset);
        }
        Ok(())
    }

    /// Puts some events behind the one at `end`. Says whether that was still the last one.
    async fn put_back(&self, stretch: &Stretch, events: &[Arc<Event>], end: u64) -> Result<bool, Failure> {
        let Stretch { topic, keep, head, .. } = stretch;
        let names = self.names(topic, false);
        let mut keys = vec![names.head.clone(), names.log.clone(), self.due(names.partition)];
        keys.push(self.servers.keys.key(names.partition, "t", topic.tenant.as_str().as_bytes()));
        keys.extend(events.iter().map(|event| self.id(&names, &event.draft.id)));
        let now = self.clock.now();
        let remembered = |event: &Event| {
            let left = keep.idempotency_window.saturating_sub(now.since(event.time));
            if left < Duration::from_millis(1) { String::new() } else { left.as_millis().to_string() }
        };
        let drafts = events.iter().map(|event| {
            let mut bytes = Vec::with_capacity(event.draft.size() + 64);
            record::encode_draft(&event.draft, &mut bytes);
            bytes
        });
        let drafts: Vec<_> = drafts.collect();
        let number = |number: Option<u128>| number.map_or_else(String::new, |number| number.to_string());
        let listed = if topic.topic.is_hidden() { "" } else { topic.topic.as_str() };
        let make = |link: &Link| {
            let mut call = scripts::RESTORE.with(&keys);
            call.arg(&*link.identity.life).arg(&names.flat).arg(listed).arg(head.last.epoch.as_u32()).arg(end);
            call.arg(number(keep.events_max.map(u128::from))).arg(number(keep.bytes_max.map(u128::from)));
            call.arg(number(keep.age_max.map(|age| age.as_micros())));
            call.arg(head.last.offset).arg(head.last.tag.as_u16());
            call.arg(head.time.map_or_else(String::new, |time| time.as_micros().to_string())).arg(events.len());
            for (event, draft) in events.iter().zip(&drafts) {
                call.arg(event.offset).arg(event.prev).arg(event.time.as_micros());
                call.arg(Tag::of(&event.draft.id).as_u16()).arg(event.draft.size()).arg(remembered(event)).arg(draft);
            }
            vec![call]
        };
        let answer = self.servers.call(Operation::Restore, names.partition, false, make).await?;
        match answer.first() {
            Some(Value::Int(done)) => Ok(*done == 1),
            other => other.and_then(answers::number).map(|done| done == 1).ok_or(Failure::Garbled("restore")),
        }
    }
}
