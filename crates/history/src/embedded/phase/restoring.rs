//! Taking over what another engine had.

use std::sync::Arc;

use super::Phase;
use crate::embedded::fault::Fault;
use crate::embedded::ids::IdHash;
use crate::{Head, Stretch};

impl Phase<'_> {
    /// Puts a stretch of another log at the end of the topic with this number, unless it does not fit there; says whether
    /// it does.
    pub(in crate::embedded) fn restore(&mut self, topic: usize, stretch: Stretch) -> Result<bool, Fault> {
        let touched = self.touch(topic);
        let known = self.touched[touched].record.head;
        if !stretch.fits(&known) {
            return Ok(false);
        }
        let Stretch { keep, head, events, .. } = stretch;
        if known.last.offset == 0 {
            self.touched[touched].record.head = Head::empty(head.last.epoch);
        }
        for event in events.into_iter().filter(|event| event.offset > known.last.offset) {
            self.cover(event.offset)?;
            let id = IdHash::of(self.desk.life.secret, self.touched[touched].record.tid, &event.draft.id);
            self.put(touched, id, event, Arc::clone(&keep));
        }
        self.cover(head.last.offset)?;
        let run = self.desk.life.run;
        let record = &mut self.touched[touched].record;
        if record.head.events == 0 {
            // Everything up to there had been removed.
            record.head = Head { last: head.last, first: head.last.offset + 1, time: head.time, events: 0, bytes: 0 };
        }
        (record.run, record.ever_appended) = (run, true);
        self.touched[touched].change = true;
        Ok(true)
    }
}
