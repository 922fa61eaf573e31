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

    /// Takes as many frames as fit in `room` bytes, the first in any case. One that goes alone is not copied. Empty only
    /// if the outbox is.
    pub fn take(&mut self, room: usize) -> Bytes {
        let Some(first) = self.first.take() else { return Bytes::new() };
        let mut size = first.len();
        let more = self.rest.iter().take_while(|frame| {
            size = size.saturating_add(frame.len());
            size <= room
        });
        let more = more.count();
        let taken = if more == 0 {
            first
        } else {
            let length = first.len() + self.rest.iter().take(more).map(Bytes::len).sum::<usize>();
            let mut taken = Vec::with_capacity(length);
            taken.extend_from_slice(&first);
            self.rest.drain(..more).for_each(|frame| taken.extend_from_slice(&frame));
            Bytes::from(taken)
        };
        self.bytes -= taken.len();
        self.first = self.rest.pop_front();
        if self.first.is_none() {
            // A burst must not leave its queue behind in an idle connection.
            self.rest = VecDeque::new();
        }
        taken
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
    fn frames_are_taken_in_order_and_a_lone_one_is_not_copied() {
        for (room, expected) in
            [(0, &["abc", "d", "efgh", "ij"][..]), (4, &["abcd", "efgh", "ij"]), (99, &["abcdefghij"])]
        {
            let mut outbox = Outbox::default();
            for frame in ["abc", "d", "efgh", "ij"] {
                outbox.push(Bytes::from_static(frame.as_bytes()));
            }
            let taken: Vec<_> =
                std::iter::repeat_with(|| outbox.take(room)).take_while(|taken| !taken.is_empty()).collect();
            assert_eq!(taken, expected, "{room}");
            assert_eq!((outbox.bytes(), outbox.rest.capacity()), (0, 0));
        }
        let (mut outbox, frame) = (Outbox::default(), Bytes::from(vec![1; 100]));
        outbox.push(frame.clone());
        assert_eq!(outbox.take(1).as_ptr(), frame.as_ptr());
    }

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
