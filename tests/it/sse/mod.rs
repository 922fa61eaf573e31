//! The acceptance cases of the SSE gateway, in the order and with the numbers of the reference they come from.

mod authority;
mod connection;
mod encoding;
mod history;
mod liveness;
mod negotiation;
mod overload;
