//! The bare loop: one thread that parses a publish request, answers it, and writes one buffer of the right size to every
//! reader, or to one, with `write(2)`. No log, no topics, no permissions, no queues: what is left is the system call.
//!
//! It is spoken to through an adapter like any other server, so that both sides of a ratio have the same readers, the
//! same publisher, the same bytes and the same cores.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::ground::Ground;
use crate::target::Target;
use crate::target::adapter::Adapter;
use crate::transport::Transport;

/// The hidden command that runs it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    port: u16,
    /// Bytes of what is written for an event.
    #[arg(long)]
    event_bytes: usize,
    #[arg(long)]
    transport: Transport,
    /// Writes to the reader of the topic instead of all.
    #[arg(long)]
    one: bool,
}

/// Starts it beside the servers under measurement.
pub(crate) fn start(ground: &Ground, transport: Transport, event_bytes: usize, one: bool) -> anyhow::Result<Target> {
    let program = std::env::current_exe()?.display().to_string();
    let mut line = [program.as_str(), "bare", "--port", "{port}", "--event-bytes", &event_bytes.to_string()]
        .map(str::to_owned)
        .to_vec();
    line.extend(["--transport".to_owned(), transport.name().to_owned()]);
    line.extend(one.then(|| "--one".to_owned()));
    let mut adapter = Adapter::bare()?;
    adapter.start = vec![line];
    ground.open(adapter, Path::new("/"))
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

/// Serves until it is killed.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], options.port)).into())?;
    socket.listen(4096)?;
    let mut listener = TcpListener::from_std(socket.into());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
    let mut readers: Vec<TcpStream> = Vec::new();
    let mut by_topic: BTreeMap<u32, usize> = BTreeMap::new();
    let mut next = 1;
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == Token(0) {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    clients.insert(next, Client { stream, input: Vec::new() });
                    next += 1;
                }
                continue;
            }
            let token = event.token().0;
            let Some(client) = clients.get_mut(&token) else { continue };
            let open = read(client, &mut scratch);
            while let Some(request) = take_request(&mut client.input)? {
                match request {
                    Request::Publish { topic, stamp } => {
                        client.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
                        let frame = frame(options.transport, options.event_bytes, &stamp);
                        if options.one {
                            if let Some(reader) = by_topic.get(&topic) {
                                write(&mut readers[*reader], &frame)?;
                            }
                        } else {
                            for reader in &mut readers {
                                write(reader, &frame)?;
                            }
                        }
                    }
                    Request::Subscribe { topics } => {
                        let Some(mut client) = clients.remove(&token) else { break };
                        client.stream.write_all(match options.transport {
                            Transport::Sse | Transport::Grpc => {
                                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice()
                            }
                            Transport::Ws => b"HTTP/1.1 101 Switching Protocols\r\n\r\n".as_slice(),
                        })?;
                        by_topic.extend(topics.iter().map(|topic| (*topic, readers.len())));
                        readers.push(client.stream);
                        break;
                    }
                }
            }
            if !open {
                clients.remove(&token);
            }
        }
    }
}

/// Reads what has come; `false` when the client has closed.
fn read(client: &mut Client, scratch: &mut [u8]) -> bool {
    loop {
        match client.stream.read(scratch) {
            Ok(0) => return false,
            Ok(n) => client.input.extend_from_slice(&scratch[..n]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn write(stream: &mut TcpStream, frame: &[u8]) -> std::io::Result<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            // A reader has gone.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Subscribe { topics: Vec<u32> },
    Publish { topic: u32, stamp: Vec<u8> },
}

/// The first whole request: `GET /TOPIC,TOPIC…`, or `POST /TOPIC` with the payload.
fn take_request(input: &mut Vec<u8>) -> anyhow::Result<Option<Request>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(begin) = request.parse(input)? else { return Ok(None) };
    let topics = request.path.unwrap_or_default().trim_start_matches('/').split(',').map(str::parse);
    let topics = topics.collect::<Result<Vec<u32>, _>>().context("a topic is a number")?;
    if request.method == Some("GET") {
        input.drain(..begin);
        return Ok(Some(Request::Subscribe { topics }));
    }
    let topic = topics[0];
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|h| std::str::from_utf8(h.value).ok()?.parse().ok()).context("no length")?;
    let Some(stamp) = input.get(begin..begin + length).map(<[u8]>::to_vec) else { return Ok(None) };
    input.drain(..begin + length);
    Ok(Some(Request::Publish { topic, stamp }))
}

/// What a server would write for an event, in so many bytes if the payload leaves room for it.
fn frame(transport: Transport, bytes: usize, payload: &[u8]) -> Vec<u8> {
    let build = |padding: usize| -> Vec<u8> {
        let padding = "x".repeat(padding);
        let payload = String::from_utf8_lossy(payload);
        match transport {
            // gRPC has no framing of its own here: only how many bytes are written matters.
            Transport::Sse | Transport::Grpc => {
                let event = format!("id: {padding}\ndata: {payload}\n\n");
                format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
            }
            Transport::Ws => {
                let text = format!("{{\"event\":{{\"id\":\"{padding}\",\"data\":\"{payload}\"}}}}");
                let mut frame = vec![0x81];
                if let Ok(length @ 0..=125) = u8::try_from(text.len()) {
                    frame.push(length);
                } else {
                    frame.push(126);
                    frame.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
                }
                frame.extend_from_slice(text.as_bytes());
                frame
            }
        }
    };
    let least = build(0).len();
    build(bytes.saturating_sub(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(frame: &[u8], payload: &[u8]) -> bool {
        memchr::memmem::find(frame, payload).is_some()
    }

    #[test]
    fn frames_are_as_long_as_asked() {
        for transport in [Transport::Sse, Transport::Ws] {
            for bytes in [300, 301, 1000] {
                let frame = frame(transport, bytes, &[b'p'; 128]);
                assert!(frame.len().abs_diff(bytes) <= 2, "{transport:?}: {} for {bytes}", frame.len());
                assert!(holds(&frame, &[b'p'; 128]));
            }
            assert!(holds(&frame(transport, 10, b"payload"), b"payload"));
        }
    }

    #[test]
    fn requests_are_taken_one_by_one() {
        let mut input = b"POST /7 HTTP/1.1\r\ncontent-length: 2\r\n\r\nabGET /8,9 HTTP/1.1\r\n\r\nPO".to_vec();
        assert_eq!(take_request(&mut input).unwrap(), Some(Request::Publish { topic: 7, stamp: b"ab".to_vec() }));
        assert_eq!(take_request(&mut input).unwrap(), Some(Request::Subscribe { topics: vec![8, 9] }));
        assert_eq!((take_request(&mut input).unwrap(), &input[..]), (None, &b"PO"[..]));
    }
}
