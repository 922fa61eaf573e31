//! Gateways on a hub: the suites of every trait, and what happens when the connection or the hub fails.

// `cfg(test)` is always so here; clippy allows `unwrap` in helpers of tests only below it.
#[cfg(test)]
mod contracts;
#[cfg(test)]
mod ear;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hub;
