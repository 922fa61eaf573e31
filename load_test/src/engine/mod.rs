//! The load generator proper: event loops that hold very many connections, each with a few hundred bytes of state.

pub(crate) mod address;
pub(crate) mod caller;
pub(crate) mod crowd;
pub(crate) mod plan;
#[cfg(test)]
mod planted;
pub(crate) mod reader;
pub(crate) mod swarm;
pub(crate) mod tally;
