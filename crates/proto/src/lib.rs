//! The messages and services of `fanfare.v1` as protobuf, generated from `proto/`, and how the nouns of
//! [`fanfare_model`] stand in them.
//!
//! What this crate is not: it opens no connection and checks no permission. Clients and servers of the services are
//! generated for whoever wants them; the server's own gRPC gateway serves the paths itself.
//!
//! Reading order: `proto/fanfare/v1/*.proto`, [`v1`], `convert`.

mod convert;

/// The package `fanfare.v1`.
pub mod v1 {
    #![expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::clone_on_ref_ptr,
        clippy::large_enum_variant,
        clippy::pedantic,
        reason = "generated"
    )]

    tonic::include_proto!("fanfare.v1");
}

/// The package `fanfare.engine.v1`: what a node that owns a log offers to the other nodes of its cluster.
pub mod engine {
    #![expect(missing_docs, clippy::allow_attributes, clippy::clone_on_ref_ptr, clippy::pedantic, reason = "generated")]

    tonic::include_proto!("fanfare.engine.v1");
}

/// The descriptors of every file, encoded, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fanfare.v1.bin"));
