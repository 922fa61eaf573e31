//! Source addresses. Between one pair of addresses there are only some 28,000 ports, so that on the loopback, where
//! every 127.x.y.z is ours, connections are spread over many.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Hands out the addresses in turn.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    turn: u32,
}

/// How many addresses are used: room for millions of connections, with those that linger in `TIME_WAIT`.
const ADDRESSES: u32 = 200;

impl Sources {
    /// Begins a connection that does not block.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> io::Result<mio::net::TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let IpAddr::V4(address) = to.ip()
            && address.is_loopback()
        {
            self.turn = (self.turn + 1) % ADDRESSES;
            let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 1)) + self.turn);
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(mio::net::TcpStream::from_std(socket.into()))
    }
}
