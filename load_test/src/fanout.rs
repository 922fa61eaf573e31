//! One topic, many readers. Models a dashboard, a match, a price: everybody hears the same thing.

use std::path::Path;
use std::time::Instant;

use crate::bare::{self, BareLoop};
use crate::publisher::Publisher;
use crate::readers::{MARK, Readers, Transport};
use crate::report::{line, median};
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    /// How many events a run publishes.
    #[arg(long, default_value_t = 200)]
    events: usize,
    /// Bytes of data of an event.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How many runs; the median is reported.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Which transports.
    #[arg(long, value_delimiter = ',', default_values = ["ws", "sse"])]
    transports: Vec<Transport>,
    #[arg(long = "as", hide = true)]
    role: Option<String>,
    #[arg(long, hide = true, default_value = "")]
    connect: String,
}

pub(crate) fn run(binary: &Path, options: &Options) -> anyhow::Result<()> {
    if options.role.as_deref() == Some(bare::ARGUMENT) {
        return bare::serve(&options.connect, options.readers, options.bytes);
    }
    line(&format!(
        "fan-out 1 -> {}, {} B, {} events a run, median of {} runs",
        options.readers, options.bytes, options.events, options.runs
    ));
    line("transport  way        bare loop/s    fanfare/s   ratio  bytes/event  encodings");
    for transport in &options.transports {
        measure(binary, options, *transport)?;
    }
    Ok(())
}

fn measure(binary: &Path, options: &Options, transport: Transport) -> anyhow::Result<()> {
    let server = Server::start(binary, "memory", "durability = \"none\"")?;
    let mut readers = Readers::subscribe(server.public, transport, "fanout", &server.token, options.readers)?;
    let mut publisher = Publisher::connect(server.admin, &server.admin_token)?;
    let messages = |n: usize| {
        let one = format!(r#"{{"data":"{}{}"}}"#, char::from(MARK), "x".repeat(options.bytes.saturating_sub(3)));
        format!("[{}]", vec![one; n].join(","))
    };
    let one = messages(1);
    publisher.publish("fanout", &one)?;
    readers.read_until(options.readers as u64)?;
    let event_bytes = usize::try_from(readers.bytes / options.readers as u64)?;

    let expected = (options.events * options.readers) as u64;
    let deliveries = expected as f64;
    let mut figures: [[Vec<f64>; 2]; 2] = Default::default();
    for _ in 0..options.runs {
        let (mut bare, mut bare_readers) = BareLoop::start(options.readers, event_bytes)?;
        let began = Instant::now();
        for _ in 0..options.events {
            bare.publish(1)?;
            bare_readers.read_until(bare_readers.seen + options.readers as u64)?;
        }
        let lockstep = deliveries / began.elapsed().as_secs_f64();
        figures[0][0].push(lockstep);
        figures[1][0].push(lockstep);
        drop((bare, bare_readers));

        // Afresh, because the server does not keep a connection that says nothing for so long.
        let mut publisher = Publisher::connect(server.admin, &server.admin_token)?;
        let began = Instant::now();
        for _ in 0..options.events {
            publisher.publish("fanout", &one)?;
            readers.read_until(readers.seen + options.readers as u64)?;
        }
        figures[0][1].push(deliveries / began.elapsed().as_secs_f64());

        // Under pressure: batches, the next one before the readers have the last.
        let batch = messages(10);
        let target = readers.seen + expected;
        let began = Instant::now();
        for _ in 0..options.events / 10 {
            publisher.publish("fanout", &batch)?;
        }
        readers.read_until(target)?;
        figures[1][1].push(deliveries / began.elapsed().as_secs_f64());
    }
    let encodings = encodings(&server)?;
    for (way, [bare, ours]) in ["lockstep", "pressure"].into_iter().zip(figures) {
        let (bare, ours) = (median(bare), median(ours));
        line(&format!(
            "{:<10} {way:<10} {bare:>11.0} {ours:>12.0} {:>7.2} {event_bytes:>12}  {encodings}",
            format!("{transport:?}").to_lowercase(),
            ours / bare
        ));
    }
    Ok(())
}

/// How often the server has encoded an event, of how many it has stored: the proof that readers share.
fn encodings(server: &Server) -> anyhow::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(server.admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let sum = |name: &str| -> f64 {
        text.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    Ok(format!("{} of {}", sum("fanfare_events_encoded_total"), sum("fanfare_events_published_total")))
}
