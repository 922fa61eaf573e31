//! A token bucket without a timer.

use std::time::Duration;

use fanfare_model::Timestamp;

/// What is published at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// None if there is no limit. `burst` is by default what comes in five seconds.
    pub(super) fn new(per_second: Option<u64>, burst: Option<u64>) -> Option<Self> {
        let per_second = per_second.filter(|n| *n > 0)?;
        Some(Self { per_second, burst: burst.unwrap_or(per_second.saturating_mul(5)) })
    }

    /// How many nanoseconds it takes until `tokens` have come.
    fn nanos(self, tokens: u64) -> u64 {
        let nanos = (u128::from(tokens) * 1_000_000_000).div_ceil(self.per_second.into());
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// The bucket, kept as what is owed to it and when that was so: 16 bytes.
///
/// A request for more than a bucket holds is let through when the bucket is full, and owed for longer; so that there
/// is no size that can never be published, and the rate is kept in the long run all the same. The clock may be set
/// back: what is owed then stays, and shrinks from there on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// When `owed` was right.
    at: Timestamp,
    /// Nanoseconds until the bucket is full.
    owed: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(now: Timestamp) -> Self {
        Self { at: now, owed: 0 }
    }

    /// Brings it to the present. Returns what is owed.
    pub(super) fn settle(&mut self, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.owed = self.owed.saturating_sub(passed);
        self.at = now;
        self.owed
    }

    /// How long it takes until `tokens` can be spent; zero: they can be now. Call after [`Bucket::settle`].
    pub(super) fn wait(&self, rate: Rate, tokens: u64) -> Duration {
        let needed = rate.nanos(tokens.min(rate.burst));
        Duration::from_nanos(self.owed.saturating_add(needed).saturating_sub(rate.nanos(rate.burst)))
    }

    /// Takes `tokens` out.
    pub(super) fn spend(&mut self, rate: Rate, tokens: u64) {
        self.owed = self.owed.saturating_add(rate.nanos(tokens));
    }

    /// Puts `tokens` back.
    pub(super) fn give_back(&mut self, rate: Rate, tokens: u64) {
        self.owed = self.owed.saturating_sub(rate.nanos(tokens));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_has_16_bytes() {
        assert_eq!(size_of::<Bucket>(), 16);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let rate = Rate::new(Some(10), Some(5)).unwrap();
        let noon = Timestamp::from_seconds(100_000);
        let mut bucket = Bucket::full(noon);
        bucket.spend(rate, 5);
        let back = noon.minus(Duration::from_secs(3600));
        bucket.settle(back);
        assert_eq!(bucket.wait(rate, 1), Duration::from_millis(100));
        bucket.settle(back.plus(Duration::from_millis(100)));
        assert_eq!(bucket.wait(rate, 1), Duration::ZERO);
    }

    #[test]
    fn what_is_larger_than_the_burst_goes_through_when_it_is_full_and_is_paid_for() {
        let rate = Rate::new(Some(10), Some(5)).unwrap();
        let start = Timestamp::from_seconds(0);
        let mut bucket = Bucket::full(start);
        bucket.spend(rate, 1);
        assert_eq!(bucket.wait(rate, 100), Duration::from_millis(100));
        bucket.settle(start.plus(Duration::from_millis(100)));
        assert_eq!(bucket.wait(rate, 100), Duration::ZERO);
        bucket.spend(rate, 100);
        // 96 are missing, and each takes a tenth of a second.
        assert_eq!(bucket.wait(rate, 1), Duration::from_millis(9600));
    }

    /// What a bucket is: a number of tokens, in billionths so that all is whole.
    struct Model {
        tokens: i128,
    }

    impl Model {
        const UNIT: i128 = 1_000_000_000;

        fn pass(&mut self, per_second: u64, burst: u64, micros: u64) {
            self.tokens =
                (self.tokens + i128::from(per_second) * i128::from(micros) * 1000).min(i128::from(burst) * Self::UNIT);
        }
    }

    proptest! {
        /// The bucket allows what a counter of tokens allows. Times are rounded up to nanoseconds at each spending, so
        /// that where they disagree it is by less than a nanosecond for each.
        #[test]
        fn it_allows_what_a_count_of_tokens_allows(
            per_second in 1..5_000_000_u64,
            burst in 1..1_000_000_u64,
            steps in prop::collection::vec((0..3_000_000_u64, 1..2_000_000_u64), 1..200),
        ) {
            let rate = Rate::new(Some(per_second), Some(burst)).unwrap();
            let mut now = Timestamp::from_seconds(1_700_000_000);
            let mut bucket = Bucket::full(now);
            let mut model = Model { tokens: i128::from(burst) * Model::UNIT };
            for (spent, (micros, tokens)) in steps.into_iter().enumerate() {
                now = now.plus(Duration::from_micros(micros));
                bucket.settle(now);
                model.pass(per_second, burst, micros);
                let needed = i128::from(tokens.min(burst)) * Model::UNIT;
                let allowed = bucket.wait(rate, tokens).is_zero();
                if allowed != (model.tokens >= needed) {
                    let apart = (model.tokens - needed).abs();
                    prop_assert!(apart <= i128::from(per_second) * (spent as i128 + 2), "{apart} apart");
                }
                if allowed {
                    bucket.spend(rate, tokens);
                    model.tokens -= i128::from(tokens) * Model::UNIT;
                }
            }
        }

        /// Whoever waits as long as they are told is let through, and not a microsecond before.
        #[test]
        fn the_wait_is_enough_and_no_more(
            per_second in 1..5_000_000_u64, burst in 1..1_000_000_u64, spent in 0..2_000_000_u64, tokens in 1..2_000_000_u64,
        ) {
            let rate = Rate::new(Some(per_second), Some(burst)).unwrap();
            let now = Timestamp::from_seconds(1_700_000_000);
            let mut bucket = Bucket::full(now);
            bucket.spend(rate, spent);
            let wait = bucket.wait(rate, tokens);
            let mut later = bucket;
            later.settle(now.plus(wait + Duration::from_micros(1)));
            prop_assert!(later.wait(rate, tokens).is_zero());
            if wait > Duration::from_micros(1) {
                let mut earlier = bucket;
                earlier.settle(now.plus(wait).minus(Duration::from_micros(1)));
                prop_assert!(!earlier.wait(rate, tokens).is_zero());
            }
        }
    }
}
