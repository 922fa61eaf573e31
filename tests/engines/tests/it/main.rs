//! Every server starts, keeps what it should over a kill, and goes with its value.

mod nats;
mod postgres;
mod proxy;
mod redis;
