//! Mistreating what a server announces by itself, and nothing else of what it says.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{nats, postgres, redis};

/// Whose protocol is spoken, so that announcements can be told from answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `message`, `pmessage` and `smessage` of Redis pub/sub, in RESP2 and RESP3.
    Redis,
    /// `MSG` and `HMSG` of NATS whose subject is not an inbox: answers come to inboxes.
    Nats,
    /// `NotificationResponse` of `PostgreSQL`.
    Postgres,
}

/// What is done to announcements: shares in percent, which together are at most 100.
#[derive(Debug, Clone, Copy)]
pub struct Mistreatment {
    /// The protocol.
    pub protocol: Protocol,
    /// Repeats the choices, as far as the server repeats its announcements.
    pub seed: u64,
    /// How many never arrive.
    pub dropped: u8,
    /// How many arrive twice.
    pub doubled: u8,
    /// How many arrive after the one that follows.
    pub moved: u8,
}

/// One whole piece of a protocol at the beginning of some bytes.
pub(super) struct Piece {
    pub(super) length: usize,
    pub(super) is_hint: bool,
}

/// The announcements of one connection.
#[derive(Debug)]
pub(super) struct Hints {
    mistreatment: Mistreatment,
    random: StdRng,
    /// Bytes of a piece that has not all arrived.
    begun: Vec<u8>,
    /// An announcement that waits for the next.
    held: Option<Vec<u8>>,
    /// Nothing was said yet.
    is_first: bool,
}

impl Hints {
    pub(super) fn new(mistreatment: Mistreatment, connection: u64) -> Self {
        let random = StdRng::seed_from_u64(mistreatment.seed.wrapping_add(connection));
        Self { mistreatment, random, begun: Vec::new(), held: None, is_first: true }
    }

    /// What the client hears of `bytes`, and how many announcements were mistreated.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, usize) {
        self.begun.extend_from_slice(bytes);
        let begun = std::mem::take(&mut self.begun);
        let (mut at, mut kept, mut mistreated) = (0, Vec::with_capacity(begun.len()), 0);
        while let Some(piece) = self.piece(&begun[at..]) {
            self.is_first = false;
            let whole = &begun[at..at + piece.length];
            at += piece.length;
            if piece.is_hint {
                mistreated += usize::from(self.mistreat(whole, &mut kept));
            } else {
                kept.extend_from_slice(whole);
            }
        }
        self.begun = begun[at..].to_vec();
        (kept, mistreated)
    }

    fn piece(&self, bytes: &[u8]) -> Option<Piece> {
        match self.mistreatment.protocol {
            Protocol::Redis => redis::piece(bytes),
            Protocol::Nats => nats::piece(bytes),
            Protocol::Postgres => postgres::piece(bytes, self.is_first),
        }
    }

    /// Whether something was done to it.
    fn mistreat(&mut self, hint: &[u8], kept: &mut Vec<u8>) -> bool {
        let Mistreatment { dropped, doubled, moved, .. } = self.mistreatment;
        let lot = self.random.random_range(0..100);
        if lot < dropped {
            return true;
        }
        if lot >= dropped + doubled && lot < dropped + doubled + moved && self.held.is_none() {
            self.held = Some(hint.to_vec());
            return true;
        }
        let doubles = lot < dropped + doubled;
        for _ in 0..=u8::from(doubles) {
            kept.extend_from_slice(hint);
        }
        kept.extend(self.held.take().unwrap_or_default());
        doubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(protocol: Protocol, dropped: u8, doubled: u8, moved: u8) -> Hints {
        Hints::new(Mistreatment { protocol, seed: 1, dropped, doubled, moved }, 0)
    }

    /// What comes out, however the bytes are cut on their way in.
    fn passed(mut make: impl FnMut() -> Hints, bytes: &[u8]) -> (String, usize) {
        let whole = make().pass(bytes);
        for size in [1, 2, 3, 7] {
            let mut hints = make();
            let (mut out, mut count) = (Vec::new(), 0);
            for chunk in bytes.chunks(size) {
                let (kept, mistreated) = hints.pass(chunk);
                out.extend(kept);
                count += mistreated;
            }
            assert_eq!((&out, count), (&whole.0, whole.1), "in pieces of {size}");
        }
        (String::from_utf8(whole.0).unwrap(), whole.1)
    }

    const REDIS: &str = "+OK\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+a\r\n#t\r\n\
                         *3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\n2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";

    #[test]
    fn redis_loses_messages_and_no_answers() {
        let (out, count) = passed(|| hints(Protocol::Redis, 100, 0, 0), REDIS.as_bytes());
        let answers = "+OK\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+a\r\n#t\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        assert_eq!((out.as_str(), count), (answers, 2));
    }

    #[test]
    fn nothing_is_changed_without_a_share() {
        assert_eq!(passed(|| hints(Protocol::Redis, 0, 0, 0), REDIS.as_bytes()), (REDIS.to_owned(), 0));
    }

    #[test]
    fn nats_doubles_messages_and_no_answers() {
        let text =
            "INFO {}\r\nMSG live.a 1 2\r\nhi\r\nMSG _INBOX.x 2 2\r\nre\r\nHMSG live.b 1 3 5\r\nhdrhi\r\nPING\r\n";
        let (out, count) = passed(|| hints(Protocol::Nats, 0, 100, 0), text.as_bytes());
        assert_eq!(count, 2);
        assert_eq!(out.matches("MSG live.a").count(), 2);
        assert_eq!(out.matches("_INBOX").count(), 1);
        assert_eq!(out.matches("hdrhi").count(), 2);
        assert!(out.ends_with("PING\r\n"));
    }

    #[test]
    fn one_that_is_moved_comes_after_the_next() {
        let text = (10..30).fold(String::new(), |text, n| text + &format!("MSG live.a 1 2\r\n{n}\r\n"));
        let (out, count) = passed(|| hints(Protocol::Nats, 0, 0, 40), text.as_bytes());
        let order: Vec<u32> = out.lines().filter_map(|line| line.parse().ok()).collect();
        assert!(count > 2 && !order.is_sorted(), "{order:?}");
        assert!(order.len() >= 19, "at most the last waits: {order:?}");
    }

    #[test]
    fn postgres_loses_notifications_and_no_rows() {
        let mut bytes = b"N".to_vec();
        for (kind, body) in [(b'R', "auth"), (b'A', "bell"), (b'D', "row"), (b'A', "again")] {
            bytes.push(kind);
            bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend(body.as_bytes());
        }
        let (out, count) = passed(|| hints(Protocol::Postgres, 100, 0, 0), &bytes);
        assert_eq!(count, 2);
        assert!(out.starts_with("NR") && out.contains("row") && !out.contains("bell"));
    }
}
