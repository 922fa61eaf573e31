//! How long it takes until all is well again.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of all faults of a run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// How often something was broken.
    pub faults: usize,
    /// From the fault until a reader was given something that was sent after it.
    pub whole: Spread,
    /// How long what was broken was away; `None` where that is a moment.
    #[serde(default)]
    pub outage: Option<Outage>,
}

/// What was broken was away for a while.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Outage {
    /// The longest time.
    pub longest: Duration,
    /// From its end until a reader was given something that was sent after the fault; nothing if that was earlier.
    pub after: Spread,
}

/// How long it took for all.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them took less.
    pub median: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Spread {
    /// Of these.
    pub fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |index: usize| took.get(index).copied().unwrap_or_default();
        Self { median: at(took.len() / 2), longest: at(took.len().saturating_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s, {:.1} s", self.median.as_secs_f64(), self.longest.as_secs_f64())
    }
}
