//! What Linux holds for a connection.

use std::net::SocketAddr;

/// Bytes that the side at `local` has written to `remote` and that are not acknowledged; `None` if there is no such
/// connection over IPv4.
pub fn unacknowledged(local: SocketAddr, remote: SocketAddr) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has /proc");
    let (local, remote) = (written(local), written(remote));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        if columns.next()? != local || columns.next()? != remote {
            return None;
        }
        let (sent, _received) = columns.nth(1)?.split_once(':')?;
        usize::from_str_radix(sent, 16).ok()
    })
}

/// An address as it stands in the table: the bytes of the address as a number of this machine, and the port.
fn written(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}
