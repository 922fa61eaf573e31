//! `PostgreSQL`.

mod server;

pub use server::Postgres;
