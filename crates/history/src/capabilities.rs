//! What an engine can do.

use std::time::Duration;

use crate::Durability;

/// What an engine can do, as data, so that a configuration that asks for more is refused at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that an engine can or cannot do")]
pub struct Capabilities {
    /// The engine's name in configuration and messages, e.g. `embedded`.
    pub name: &'static str,
    /// The strongest durability it can give.
    pub durability_max: Durability,
    /// Whether its logs outlive the process (for an outside system: a restart of that).
    pub survives_restart: bool,
    /// What of the acknowledged is still there after the engine failed over to another machine.
    pub failover: Failover,
    /// The most bytes an event may have ([`fanfare_model::Draft::size`]).
    pub event_bytes_max: usize,
    /// Whether offsets are 1, 2, 3 … (`prev` is `offset - 1`, but for what a crash has lost); otherwise they only increase.
    pub dense: bool,
    /// How it knows what is to be kept of a topic.
    pub retention: Retention,
    /// Whether it keeps [`crate::Keep::bytes_max`] of each topic, and counts [`crate::Head::bytes`]; otherwise that is 0.
    pub bounds_bytes: bool,
    /// Whether it can [`crate::Admin::TruncateBefore`].
    pub truncates: bool,
    /// For how long it remembers event ids.
    pub window: Window,
    /// Whose clock gives events their time.
    pub time: TimeOf,
}

/// What is left after an engine failed over to another of its machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// It has one machine.
    None,
    /// Everything acknowledged.
    All,
    /// The latest events may be lost, and their offsets used again; readers are told (gap `fork`).
    Tail,
}

/// How an engine knows what is to be kept of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Every append says it anew: [`crate::Append::keep`].
    PerAppend,
    /// It was told of every kind of topic when it started; what an append says must be that.
    PerKind,
}

/// For how long an engine remembers the ids of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As each append says: [`crate::Keep::idempotency_window`].
    PerAppend,
    /// For this long, whatever is asked for; asking for more is refused at start.
    Fixed(Duration),
}

/// Whose clock gives events their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOf {
    /// That of the node that appends.
    Node,
    /// That of the outside system. Ages and windows run by it, too.
    Engine,
}
