//! The engine against real servers.

mod contracts;
mod faults;
mod fitness;
mod node;
mod support;
