//! What the machine allows: one thread that writes one shared buffer to every socket, and nothing else.

use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::readers::Readers;

/// The bare loop runs in a process of its own, pinned like the server, and is told what to write by lines on its
/// standard input: the number of bytes of an event, then one line per event.
pub(crate) struct BareLoop {
    child: Child,
}

/// The argument that makes this program the bare loop.
pub(crate) const ARGUMENT: &str = "bare-loop";

impl BareLoop {
    /// Starts it with `n` connections to readers in this process.
    pub(crate) fn start(n: usize, event_bytes: usize) -> anyhow::Result<(Self, Readers)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(std::env::current_exe()?)
            .args(["fanout", "--as", ARGUMENT, "--readers", &n.to_string(), "--bytes", &event_bytes.to_string()])
            .args(["--connect", &listener.local_addr()?.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .context("taskset could not be started")?;
        let connections = (0..n).map(|_| Ok(listener.accept()?.0)).collect::<std::io::Result<_>>()?;
        Ok((Self { child }, Readers::new(connections)?))
    }

    /// Writes one event to every reader.
    pub(crate) fn publish(&mut self, events: usize) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("the bare loop has no input")?;
        stdin.write_all("x\n".repeat(events).as_bytes())?;
        stdin.flush()?;
        Ok(())
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The loop itself.
pub(crate) fn serve(connect: &str, n: usize, event_bytes: usize) -> anyhow::Result<()> {
    let mut sockets = Vec::with_capacity(n);
    for _ in 0..n {
        let socket = TcpStream::connect(connect)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut frame = vec![b'x'; event_bytes];
    frame[0] = crate::readers::MARK;
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line)? > 0 {
        line.clear();
        for socket in &mut sockets {
            let mut rest = &frame[..];
            while !rest.is_empty() {
                match socket.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}
