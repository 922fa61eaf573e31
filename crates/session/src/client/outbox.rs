//! What waits to be sent to one client.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

/// Frames that wait to be sent, in order. Empty it owns no memory; one waiting frame needs no allocation either,
/// because a lone event is the usual case.
///
/// Its bound is its owner's doing: events are only taken from the reader when it is empty, and commands only while
/// it is small.
#[derive(Default)]
pub struct Outbox {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Adds a frame. An empty one is left out.
    pub fn push(&mut self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        self.bytes += frame.len();
        match self.first {
            None => self.first = Some(frame),
            Some(_) => self.rest.push_back(frame),
        }
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The rest of the first frame, if it is the only one or has at least `alone` bytes; otherwise as many frames
    /// as fit in `room` bytes, put together in `scratch`. Never empty unless the outbox is.
    pub fn next<'a>(&'a self, scratch: &'a mut Vec<u8>, alone: usize, room: usize) -> &'a [u8] {
        let Some(first) = &self.first else { return &[] };
        if self.rest.is_empty() || first.len() >= alone {
            return first;
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for frame in &self.rest {
            if scratch.len() + frame.len() > room {
                break;
            }
            scratch.extend_from_slice(frame);
        }
        scratch
    }

    /// Forgets `count` bytes, which have been sent.
    pub fn sent(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(first) = &mut self.first {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.first = self.rest.pop_front();
        }
        // A burst must not leave its queue behind in an idle connection.
        self.rest = VecDeque::new();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_in_pieces_of_any_size() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            for frame in ["abc", "", "d", "efgh", "ij"] {
                outbox.push(Bytes::from_static(frame.as_bytes()));
            }
            assert_eq!(outbox.bytes(), 10);
            let (mut scratch, mut sent) = (Vec::new(), Vec::new());
            while !outbox.is_empty() {
                let next = outbox.next(&mut scratch, 4, 8);
                assert!(!next.is_empty());
                let count = next.len().min(step);
                sent.extend_from_slice(&next[..count]);
                outbox.sent(count);
            }
            assert_eq!(sent, b"abcdefghij");
            assert_eq!((outbox.bytes(), outbox.rest.capacity()), (0, 0));
        }
    }
}
