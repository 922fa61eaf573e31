//! The engine against real servers.

mod contracts;
mod faults;
mod fitness;
mod forgetting;
mod node;
mod support;
