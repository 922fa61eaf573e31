//! The `fanfare` program from outside: the real binary, run as an operator runs it.

// `cfg(test)` is always so here; clippy allows `unwrap` in helpers of tests only below it.
#[cfg(test)]
mod cli;
#[cfg(test)]
mod composed;
#[cfg(test)]
mod config_mistakes;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod migrate;
#[cfg(test)]
mod node;
#[cfg(test)]
mod program;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod tls;
