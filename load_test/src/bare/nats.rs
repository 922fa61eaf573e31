//! What a NATS server does for one publisher that keeps so many messages in flight: the least that anybody can ask of
//! `JetStream`. Its own `nats bench` is not packed for any of the registries that our tests install from.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Publishes to a stream and waits for the acknowledgements; tells how many came in a second.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `host:port` of the server, without a password.
    address: String,
    /// Messages in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How long it is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// The stream that is made and removed again.
const STREAM: &str = "fanfare-bare";

impl Options {
    /// Acknowledged messages a second.
    pub(crate) fn rate(&self) -> anyhow::Result<f64> {
        let stream = TcpStream::connect(&self.address).with_context(|| format!("no NATS at {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (mut to, mut from) = (stream.try_clone()?, BufReader::new(stream));
        line(&mut from)?;
        to.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB answers 1\r\n")?;
        let config = format!(r#"{{"name":"{STREAM}","subjects":["{STREAM}"],"storage":"file","num_replicas":1}}"#);
        publish(&mut to, &format!("$JS.API.STREAM.CREATE.{STREAM}"), config.as_bytes())?;
        let created = answer(&mut from, &mut to)?;
        ensure!(!created.contains("\"error\""), "the stream cannot be made: {created}");

        let payload = vec![b'x'; self.bytes];
        for _ in 0..self.in_flight {
            publish(&mut to, STREAM, &payload)?;
        }
        let (begin, mut acknowledged) = (Instant::now(), 0_u64);
        while begin.elapsed() < Duration::from_secs(self.seconds) {
            let mut free = 0;
            loop {
                let text = answer(&mut from, &mut to)?;
                ensure!(text.contains("\"seq\""), "a message was refused: {text}");
                free += 1;
                if from.buffer().is_empty() {
                    break;
                }
            }
            acknowledged += free;
            let mut more = Vec::new();
            for _ in 0..free {
                publish(&mut more, STREAM, &payload)?;
            }
            to.write_all(&more)?;
        }
        let rate = acknowledged as f64 / begin.elapsed().as_secs_f64();
        for _ in 0..self.in_flight {
            answer(&mut from, &mut to)?;
        }
        publish(&mut to, &format!("$JS.API.STREAM.DELETE.{STREAM}"), b"")?;
        answer(&mut from, &mut to)?;
        Ok(rate)
    }
}

fn publish(to: &mut impl std::io::Write, subject: &str, payload: &[u8]) -> std::io::Result<()> {
    let mut message = format!("PUB {subject} answers {}\r\n", payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message.extend_from_slice(b"\r\n");
    to.write_all(&message)
}

fn line(from: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = from.read_line(&mut line).context("the server has not answered for 10 s")?;
    ensure!(read > 0, "the server closed the connection");
    Ok(line)
}

/// The next answer; the server's pings are answered meanwhile.
fn answer(from: &mut BufReader<TcpStream>, to: &mut TcpStream) -> anyhow::Result<String> {
    loop {
        let head = line(from)?;
        if head.starts_with("PING") {
            to.write_all(b"PONG\r\n")?;
        } else if head.starts_with("MSG") {
            return line(from);
        }
        ensure!(!head.starts_with("-ERR"), "the server says {head}");
    }
}
