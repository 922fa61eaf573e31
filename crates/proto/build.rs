//! Generates the messages and services from `proto/`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

/// Each file of the package.
const FILES: [&str; 5] = [
    "fanfare/v1/event.proto",
    "fanfare/v1/session.proto",
    "fanfare/v1/events.proto",
    "fanfare/v1/admin.proto",
    "fanfare/v1/hooks.proto",
];

/// Each file of what nodes of a cluster say to each other. Nobody reflects on that.
const ENGINE_FILES: [&str; 4] = [
    "fanfare/engine/v1/engine.proto",
    "fanfare/engine/v1/leases.proto",
    "fanfare/engine/v1/cursors.proto",
    "fanfare/engine/v1/presence.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let set = protox::compile(FILES, ["proto"])?;
    // For reflection. Comments take half of it, and whoever reflects does not read them.
    let mut bare = set.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("fanfare.v1.bin"), bare.encode_to_vec())?;
    // Clients are made of a channel: a method of `Hooks` is called `connect`, as what would be generated besides.
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(set)?;
    let engine = protox::compile(ENGINE_FILES, ["proto"])?;
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(engine)?;
    Ok(())
}
