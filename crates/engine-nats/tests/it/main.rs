//! The engine against real servers.

mod contracts;
mod faults;
mod fitness;
mod forgetting;
mod moving;
mod node;
mod support;
