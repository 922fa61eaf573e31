//! Many connections read by one thread, which counts events and does nothing else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Stands once in the data of every event and nowhere else on the wire.
pub(crate) const MARK: u8 = b'#';

/// How a reader asks for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Server-Sent Events over HTTP/1.1.
    Sse,
    /// WebSocket, `fanfare.v1.json`.
    Ws,
}

pub(crate) struct Readers {
    poll: Poll,
    events: Events,
    streams: Vec<TcpStream>,
    /// Events seen by all readers together.
    pub(crate) seen: u64,
    /// Bytes read by all readers together.
    pub(crate) bytes: u64,
}

impl Readers {
    /// Takes connections that are set up already.
    pub(crate) fn new(connections: Vec<std::net::TcpStream>) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::with_capacity(connections.len());
        for (i, connection) in connections.into_iter().enumerate() {
            connection.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(connection);
            poll.registry().register(&mut stream, Token(i), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Self { poll, events: Events::with_capacity(4096), streams, seen: 0, bytes: 0 })
    }

    /// Connects `n` readers of `topic`, each subscribed when this returns.
    pub(crate) fn subscribe(
        address: SocketAddr,
        transport: Transport,
        topic: &str,
        token: &str,
        n: usize,
    ) -> anyhow::Result<Self> {
        let connections =
            (0..n).map(|_| subscribe_one(address, transport, topic, token, None)).collect::<Result<_, _>>()?;
        Self::new(connections)
    }

    /// Reads until `target` events have been seen in all.
    pub(crate) fn read_until(&mut self, target: u64) -> anyhow::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let patience = Instant::now() + Duration::from_secs(60);
        while self.seen < target {
            self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
            for event in &self.events {
                let stream = &mut self.streams[event.token().0];
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => bail!("the server closed a reader"),
                        Ok(n) => {
                            self.bytes += n as u64;
                            self.seen += memchr::memchr_iter(MARK, &buffer[..n]).count() as u64;
                            if n < buffer.len() {
                                break;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            if Instant::now() > patience {
                bail!("{} of {target} deliveries came within 60 s", self.seen);
            }
        }
        Ok(())
    }
}

/// Connects one reader and waits until the server has said that it is subscribed. Returns it still blocking.
pub(crate) fn subscribe_one(
    address: SocketAddr,
    transport: Transport,
    topic: &str,
    token: &str,
    from: Option<&str>,
) -> anyhow::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (request, sign) = match transport {
        Transport::Sse => {
            let resume = from.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
            let head = format!(
                "GET /v1/sse?topic={topic} HTTP/1.1\r\nhost: load\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n{resume}\r\n"
            );
            (head, "retry:")
        }
        Transport::Ws => {
            let head = format!(
                "GET /v1/ws HTTP/1.1\r\nhost: load\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            (head, "\"connected\"")
        }
    };
    stream.write_all(request.as_bytes())?;
    expect(&mut stream, sign)?;
    if transport == Transport::Ws {
        let from = serde_json::to_string(from.unwrap_or("now"))?;
        let text = format!(r#"{{"id":1,"subscribe":{{"topic":"{topic}","from":{from}}}}}"#);
        stream.write_all(&masked_text(&text))?;
        expect(&mut stream, "\"subscribed\"")?;
    }
    Ok(stream)
}

/// Reads until `sign` has come. What follows it is not needed: no event is published before every reader is ready.
fn expect(stream: &mut std::net::TcpStream, sign: &str) -> anyhow::Result<()> {
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if got.windows(sign.len()).any(|w| w == sign.as_bytes()) {
            return Ok(());
        }
        let n = stream.read(&mut chunk).context("the server did not answer a reader")?;
        if n == 0 {
            bail!("the server refused a reader: {}", String::from_utf8_lossy(&got));
        }
        got.extend_from_slice(&chunk[..n]);
    }
}

/// A client's text frame; the mask is all zeros, which leaves the text as it is.
fn masked_text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    if let Ok(length @ 0..=125) = u8::try_from(text.len()) {
        frame.push(0x80 | length);
    } else {
        frame.push(0xfe);
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}
