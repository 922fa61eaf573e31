//! Ports that stay ours over restarts.
//!
//! A port from the kernel (port 0) is free again while its server is down, and the kernel then lends it to any outgoing
//! connection. So servers that are to come back on their port get one below the kernel's own range, held by a locked
//! file against the other test processes of this machine.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below 32768, where Linux takes its own from, and above what services of a machine use. Redis Cluster adds 10,000 to
/// a port unless told otherwise, which stays below as well.
const FIRST: u16 = 12_000;
const COUNT: u16 = 9_000;

/// A port of 127.0.0.1 that nobody else is given while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves one.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn reserve() -> Self {
        // Processes begin at different places, so that they seldom try each other's.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let begin = u16::try_from(std::process::id() % u32::from(COUNT)).expect("COUNT is a u16");
        let folder = std::env::temp_dir().join("fanfare-test-ports");
        std::fs::create_dir_all(&folder).expect("the temporary directory is writable");
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + (begin + step) % COUNT;
            let lock = File::create(folder.join(number.to_string())).expect("a lock file can be made");
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}
