//! The seam: [`Leases`] and the values that cross it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_model::Invalid;

use crate::error::Error;

/// Tells one holding of a lease from every other: who holds it later has a greater one. What is done under a lease is
/// marked with it, so that what a former holder does too late is known for that and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// The fence `number`, as an engine counts them.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A lease that somebody holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is held.
    pub name: String,
    /// Who holds it, in the words it gave.
    pub holder: String,
    /// This holding of it.
    pub fence: Fence,
}

/// The most bytes that the name of a lease has.
pub const NAME_BYTES_MAX: usize = 255;
/// The most bytes that a holder says of itself.
pub const HOLDER_BYTES_MAX: usize = 1024;

/// Leases: a name is held by at most one holder at a time, for as long as that says so now and then.
///
/// **Names** are 1–255 of `[A-Za-z0-9_/-]`; a **holder** is any text of at most 1 KiB. Both are checked by
/// [`check_name`] and [`check_holder`], which engines call.
/// **Fences.** No two holdings have the same fence, and the fences of one name only grow: also after a release, after an
/// end, and for a store that outlives its process after that. An engine counts them for all names together, so that a
/// name that nobody holds leaves nothing behind (there is a name for each ticket that was used).
/// **Time** is the store's: a lease ends `ttl` after the store took the last [`acquire`](Leases::acquire) or
/// [`renew`](Leases::renew) of it. Spans of whole seconds are kept exactly; shorter parts may be rounded up to one. A
/// holder that counts from before it asked therefore stops before anybody else begins.
/// **Failures.** After [`Error::Unavailable`] it may or may not have happened. An answer comes within the engine's
/// time-out. **Cancellation.** Dropping a future does not undo what it did.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// The word for the engine, for logs and health.
    fn name(&self) -> &'static str;

    /// Takes the lease if nobody holds it, for `ttl`. `None` if somebody does, be it under the same `holder`.
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error>;

    /// Holds the lease for `ttl` from now. `false` if this holding has ended, by time or by release, even if nobody holds
    /// it since.
    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error>;

    /// Gives the lease back, if this holding has not ended; nothing happens if it has.
    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error>;

    /// What is held now of the names that begin with `prefix`, sorted by name.
    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error>;
}

/// Refuses what is not the name of a lease.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let problem = format_args!("has {} bytes; 1 to {NAME_BYTES_MAX} are allowed", name.len());
        return Err(Invalid::new("lease name", problem));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '-'))) {
        None => Ok(()),
        Some(c) => {
            let problem = format_args!("has the character {c:?}; letters, digits, `_`, `/` and `-` are allowed");
            Err(Invalid::new("lease name", problem))
        }
    }
}

/// Refuses what is too long for a holder.
pub fn check_holder(holder: &str) -> Result<(), Invalid> {
    if holder.len() > HOLDER_BYTES_MAX {
        let problem = format_args!("has {} bytes; at most {HOLDER_BYTES_MAX} are allowed", holder.len());
        return Err(Invalid::new("lease holder", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_holders_are_checked() {
        assert!(check_name("own/presence/7").is_ok());
        for (name, part) in [("", "0 bytes"), ("a b", "' '"), ("ü", "'ü'"), (&"n".repeat(256), "256 bytes")] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(part), "{name:?}: {error}");
        }
        assert!(check_holder(&"h".repeat(1024)).is_ok());
        assert!(check_holder(&"h".repeat(1025)).is_err());
    }
}
