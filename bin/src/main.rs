//! The `fanfare` program: command line, configuration, and the wiring of the parts. Thin: what it does is in the
//! crates it calls.

mod cli;
mod client;
mod config;
mod failure;
mod migrate;
mod print;
mod serve;
mod tls;

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider of cryptography for the whole process. Two features of one dependency could bring two, and
    // rustls and jsonwebtoken then ask at run time which it shall be; here is the answer. Both calls fail only
    // if it was answered before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::remark(&failure);
            ExitCode::FAILURE
        }
    }
}
