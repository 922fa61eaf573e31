//! What the end-to-end tests stand on: the real binary, and clients that show every byte.
//!
//! In reading order: [`Server`] starts the binary from a [`Config`]; [`Api`] publishes and asks over the
//! server-to-server door with tokens from [`token`]; [`sse`] and [`ws`] are clients written from
//! `docs/protocol/` that hide nothing; [`RawWs`] sends frames that a proper client could not;
//! [`Proxy`] cuts and stalls connections; [`Browser`] and [`Script`] drive other people's clients.
//!
//! The tests themselves are in `tests/it`. Nothing here is used by the server.

mod api;
mod browser;
mod cdp;
mod cluster;
mod config;
pub mod docs;
pub mod faults;
pub mod frames;
pub mod grpc;
mod http1;
mod http2;
mod kernel;
mod log;
mod page;
mod parser;
mod patience;
mod process;
mod proxy;
mod raw_ws;
mod script;
mod server;
mod shared;
pub mod sse;
pub mod token;
mod transport;
pub mod ws;

pub use api::{Answer, Api, Message, percent_encode};
pub use browser::Browser;
pub use cluster::{Cluster, Engines, Shared};
pub use config::Config;
pub use http1::{Request, Response};
pub use http2::{H2Client, H2Response};
pub use kernel::unacknowledged;
pub use log::LogCapture;
pub use page::PageServer;
pub use parser::{SseEvent, SseParser};
pub use patience::{InTime, PATIENCE, eventually, within};
pub use process::ProcessStats;
pub use proxy::{Cut, Proxy};
pub use raw_ws::{Frame, RawWs};
pub use script::{Observed, Script};
pub use server::{Server, binary, fresh_topic, seed};
pub use transport::{Heard, Listen, Listener, Transport};
