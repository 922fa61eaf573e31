//! Reading from newer to older, which the server does not do: a place is looked for from which on as many are as are wanted.

use fanfare_history::{Read, ReadFrom};

use super::{Front, Reading};
use crate::classes::Spot;
use crate::error::Fault;
use crate::gets::{BATCH_MAX, BYTES_MAX, Get, Stored};

/// How many more than needed may be read, rather than to look for the place more exactly.
const SURPLUS_MIN: u64 = 16;

impl Reading<'_> {
    /// How many messages are from `seq` on.
    async fn left(&self, spot: &Spot, seq: u64) -> Result<u64, Fault> {
        if seq == u64::MAX {
            return Ok(0);
        }
        Ok(self.link.get(&spot.class.stream.name, &Get::next(&spot.subject, seq, 1)).await?.count())
    }

    /// Messages up to where `read` begins, from older to newer, and whether there are more before them.
    pub(super) async fn backward(
        &self,
        spot: &Spot,
        read: &Read,
        front: &Front,
        first: u64,
    ) -> Result<(Vec<Stored>, bool), Fault> {
        let stream = &spot.class.stream.name;
        let until = match read.from {
            ReadFrom::End => u64::MAX,
            ReadFrom::Offset(offset) => offset,
            ReadFrom::Time(time) => {
                let next = self.link.get(stream, &Get::since(&spot.subject, time, 1)).await?;
                next.messages.first().map_or(u64::MAX, |next| next.seq - 1)
            }
        };
        let beyond = self.left(spot, until.saturating_add(1)).await?;
        let mut ahead = front.count.saturating_sub(beyond);
        if read.limit == 0 || ahead == 0 {
            return Ok((Vec::new(), ahead > 0));
        }
        let mut found: Vec<Stored> = Vec::new();
        let mut bytes = 0;
        let (mut until, mut beyond) = (until, beyond);
        loop {
            let wanted = (read.limit - found.len()).min(BATCH_MAX) as u64;
            let begin = self.begin_of_last(spot, (first, until), wanted, ahead, beyond).await?;
            let mut chunk = self.between(spot, begin, until).await?;
            let Some(oldest) = chunk.first().map(|oldest| oldest.seq) else { return Ok((found, false)) };
            ahead = ahead.saturating_sub(chunk.len() as u64);
            beyond += chunk.len() as u64;
            bytes += chunk.iter().map(|stored| stored.payload.len()).sum::<usize>();
            chunk.append(&mut found);
            found = chunk;
            if ahead == 0 || oldest <= first || found.len() >= read.limit || bytes / 2 > read.bytes_max {
                return Ok((found, ahead > 0 && oldest > first));
            }
            until = oldest - 1;
        }
    }

    /// A place from which at least `wanted` messages (or all) are up to `until`, and not many more.
    async fn begin_of_last(
        &self,
        spot: &Spot,
        (first, until): (u64, u64),
        wanted: u64,
        ahead: u64,
        beyond: u64,
    ) -> Result<u64, Fault> {
        let surplus = (wanted / 4).max(SURPLUS_MIN);
        if ahead <= wanted + surplus {
            return Ok(first);
        }
        // Up to a place beyond the end of its stream a server finds nothing.
        let get = match beyond {
            0 => Get::last(vec![&spot.subject]),
            _ => Get::last_until(&spot.subject, until),
        };
        let last = self.link.get(&spot.class.stream.name, &get).await?;
        let last = last.messages.first().filter(|last| last.seq <= until).map_or(first, |last| last.seq);
        if wanted == 1 {
            return Ok(last);
        }
        // So many are at `low` or after, and less than wanted at `high`.
        let (mut low, mut low_has, mut high, mut high_has) = (first, ahead, last, 1);
        while low_has > wanted + surplus && high - low > 1 {
            // As if they lay evenly, but never less than an eighth of the way.
            let aim = wanted + surplus / 2;
            let share =
                u128::from(high - low) * u128::from(aim - high_has.min(aim)) / u128::from(low_has - high_has).max(1);
            let eighth = (high - low) / 8;
            let step = u64::try_from(share).unwrap_or(u64::MAX).clamp(eighth.max(1), (high - low - eighth).max(1));
            let at = (high - step).clamp(low + 1, high - 1);
            let has = self.left(spot, at).await?.saturating_sub(beyond);
            if has >= wanted {
                (low, low_has) = (at, has);
            } else {
                (high, high_has) = (at, has);
            }
        }
        Ok(low)
    }

    /// Every message from `begin` to `until`.
    async fn between(&self, spot: &Spot, begin: u64, until: u64) -> Result<Vec<Stored>, Fault> {
        let mut found = Vec::new();
        let mut from = begin;
        loop {
            let get = Get { max_bytes: Some(BYTES_MAX), ..Get::next(&spot.subject, from, BATCH_MAX) };
            let batch = self.link.get(&spot.class.stream.name, &get).await?;
            let Some(end) = batch.messages.last().map(|last| last.seq) else { return Ok(found) };
            found.extend(batch.messages.into_iter().filter(|stored| stored.seq <= until && !stored.is_marker));
            if batch.pending == 0 || end >= until {
                return Ok(found);
            }
            from = end + 1;
        }
    }
}
