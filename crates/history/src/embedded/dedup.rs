//! What is remembered of an event id: the idempotency window.

use fanfare_model::Timestamp;

use super::codec::{Damage, Decoder, Encoder};

const VERSION: u8 = 1;

/// Where and when an event id was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DedupEntry {
    pub(super) offset: u64,
    pub(super) time: Timestamp,
    /// From when on it may be dropped.
    pub(super) expires: Timestamp,
}

impl DedupEntry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(VERSION, 24);
        to.u64(self.offset);
        to.i64(self.time.as_micros());
        to.i64(self.expires.as_micros());
        to.finish(0)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut from = Decoder::new(bytes, VERSION, 0)?;
        let entry = Self {
            offset: from.u64()?,
            time: Timestamp::from_micros(from.i64()?),
            expires: Timestamp::from_micros(from.i64()?),
        };
        from.end()?;
        Ok(entry)
    }
}
