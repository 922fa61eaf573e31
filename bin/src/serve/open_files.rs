//! The limit of open files, which is the limit of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Code, Failure};

/// Files that the node itself may need: the store's segments, the log, sockets of libraries.
const RESERVED: u64 = 256;
/// As many as a semaphore can count out at once, if the system sets no limit.
const UNLIMITED: u32 = 1 << 28;

/// Raises the limit of open files as far as the system allows, and says how many connections there may be:
/// `asked`, or all that fit if it is 0.
pub(super) fn connections_max(asked: u32) -> Result<u32, Failure> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let room = files.map_or(UNLIMITED, |files| u32::try_from(files.saturating_sub(RESERVED)).unwrap_or(UNLIMITED));
    let room = room.min(UNLIMITED);
    match asked {
        0 if room == 0 => Err(Failure::new(
            Code::SystemRefused,
            format!("the limit of open files leaves no room for connections; raise it above {RESERVED} (ulimit -n)"),
        )),
        0 => Ok(room),
        asked if asked > room => {
            tracing::warn!(asked, room, "http.max_connections is more than the limit of open files allows");
            Ok(asked.min(UNLIMITED))
        }
        asked => Ok(asked),
    }
}
