//! Binding every address before any work is done.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::tls::Tls;
use crate::config::{HttpOptions, Listener, Serves};
use crate::failure::{Code, Failure};

/// A listener that has its port.
#[derive(Debug)]
pub(super) struct Bound {
    pub name: String,
    pub serves: Vec<Serves>,
    /// The address with the port that the system gave.
    pub address: SocketAddr,
    pub socket: TcpListener,
    /// How its connections are encrypted, if they are.
    pub tls: Option<Arc<Tls>>,
}

/// Binds all of them, or none.
pub(super) fn all(listeners: &BTreeMap<String, Listener>, http: &HttpOptions) -> Result<Vec<Bound>, Failure> {
    listeners.iter().map(|(name, listener)| bind(name, listener, http)).collect()
}

fn bind(name: &str, listener: &Listener, http: &HttpOptions) -> Result<Bound, Failure> {
    let failed = |error| {
        let text = format!("the listener `{name}` cannot listen at {} (listeners.{name}.bind)", listener.bind);
        Failure::because(Code::BindFailed, text, error)
    };
    let socket = socket(listener.bind, http).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let tls = listener.tls.as_ref().map(|options| Tls::load(name, options)).transpose()?;
    Ok(Bound { name: name.to_owned(), serves: listener.serves.clone(), address, socket, tls })
}

fn socket(address: SocketAddr, http: &HttpOptions) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the one before to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && !address.ip().is_unspecified() {
        socket.set_only_v6(true)?;
    }
    // An accepted socket inherits these, which saves seven calls a connection.
    socket.set_tcp_nodelay(true)?;
    let probes = std::time::Duration::from_secs(10);
    let keepalive = TcpKeepalive::new().with_time(http.tcp_keepalive.get()).with_interval(probes).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(http.tcp_user_timeout.get()))?;
    // A stuck reader then holds tens of kilobytes in the kernel, not megabytes.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(u32::try_from(http.tcp_unsent_max.0).unwrap_or(u32::MAX))?;
    if http.tcp_send_buffer.0 > 0 {
        socket.set_send_buffer_size(http.tcp_send_buffer.as_usize())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(http.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    fn local(serves: Serves) -> Listener {
        Listener { bind: "127.0.0.1:0".parse().unwrap(), serves: vec![serves], tls: None }
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let http = HttpOptions::default();
        let bound = bind("public", &local(Serves::Sse), &http).unwrap();
        let _client = std::net::TcpStream::connect(bound.address).unwrap();
        bound.socket.set_nonblocking(false).unwrap();
        let (accepted, _) = bound.socket.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), http.tcp_keepalive.get());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(http.tcp_user_timeout.get()));
            assert_eq!(u64::from(accepted.tcp_notsent_lowat().unwrap()), http.tcp_unsent_max.0);
            // Linux doubles it, for its own bookkeeping.
            assert_eq!(accepted.send_buffer_size().unwrap(), 2 * http.tcp_send_buffer.as_usize());
        }
    }

    /// A client that never reads holds no more of the kernel than was said, its own receive buffer apart.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_stuck_reader_holds_little() {
        use std::io::{ErrorKind, Write as _};

        let http = HttpOptions::default();
        let bound = bind("public", &local(Serves::Sse), &http).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        client.connect(&bound.address.into()).unwrap();
        bound.socket.set_nonblocking(false).unwrap();
        let (mut accepted, _) = bound.socket.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let mut taken = 0;
        let refused = loop {
            match accepted.write(&[b'x'; 1024]) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        assert!(taken <= 64 * 1024, "the kernel took {taken} bytes");
    }

    #[test]
    fn a_taken_port_names_the_listener_and_the_address() {
        let http = HttpOptions::default();
        let first = bind("first", &local(Serves::Sse), &http).unwrap();
        let again = Listener { bind: first.address, ..local(Serves::Ws) };
        let failure = bind("second", &again, &http).unwrap_err();
        assert_eq!(failure.code(), Code::BindFailed);
        let text = failure.to_string();
        assert!(text.contains("`second`") && text.contains(&first.address.to_string()), "{text}");
    }
}
