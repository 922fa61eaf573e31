//! An echo server on this crate's handshake, frames and compression, for the Autobahn test suite (`dev/autobahn`),
//! which talks to echo servers only.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Options;
use crate::deflate::Deflate;
use crate::frame::{self, Agreed, Decoder, Event, HEADER_ROOM, Limits, Opcode};
use crate::handshake::Handshake;

/// The suite's largest message has 16 MiB, its most fragments are 65,536.
const LIMITS: Limits = Limits { message_bytes_max: 16 << 20, fragments_max: 1 << 17 };

/// Says back what is said, to everyone who connects, until the process ends. Both kinds of message are taken, and
/// whatever its size a message is compressed if that was agreed on. Fails if the listener does.
pub async fn serve(listener: TcpListener, life: Lifecycle) -> io::Result<Infallible> {
    let handshake = Arc::new(Handshake::new(&Options::default(), None));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (handshake, on) = (Arc::clone(&handshake), life.clone());
        let service = service_fn(move |mut request| {
            let upgrading = hyper::upgrade::on(&mut request);
            let (head, _) = request.into_parts();
            let response = match handshake.check(&head) {
                Ok(accepted) => {
                    let deflate = accepted.deflate;
                    on.spawn(TaskKind::Connection, "echo", async move {
                        if let Ok(upgraded) = upgrading.await {
                            // A client that is gone is no failure.
                            drop(echo(upgraded, deflate).await);
                        }
                    });
                    accepted.response::<Body>()
                }
                Err(rejected) => rejected.response(),
            };
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
        life.spawn(TaskKind::Connection, "echo handshake", async move {
            // Likewise.
            drop(connection.await);
        });
    }
}

async fn echo(upgraded: Upgraded, deflate: Option<Deflate>) -> io::Result<()> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| io::Error::other("not a socket"))?;
    let (mut stream, read_ahead) = (parts.io.into_inner(), parts.read_buf);
    let mut decoder = Decoder::new(Agreed { deflate: deflate.is_some(), binary: true });
    let compresses = deflate.is_some_and(Deflate::takes_ours);
    let mut buffer = vec![0; 64 * 1024];
    let mut input = &read_ahead[..];
    loop {
        let (answers, over) = answer(&mut decoder, input, compresses);
        for frame in answers {
            stream.write_all(&frame).await?;
        }
        if over {
            stream.shutdown().await?;
            while stream.read(&mut buffer).await? > 0 {}
            return Ok(());
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        input = &buffer[..count];
    }
}

/// What there is to say to `input`, and whether that is the last.
fn answer(decoder: &mut Decoder, mut input: &[u8], compresses: bool) -> (Vec<Bytes>, bool) {
    let mut answers = Vec::new();
    let message = |opcode, message: &[u8]| {
        let plain = frame::finish(opcode, [&[0; HEADER_ROOM], message].concat());
        let deflated = if compresses { frame::deflate(&plain) } else { None };
        deflated.unwrap_or(plain)
    };
    loop {
        match decoder.next(&mut input, LIMITS) {
            Ok(None) => return (answers, false),
            Ok(Some(Event::Text(text))) => answers.push(message(Opcode::Text, text.as_bytes())),
            Ok(Some(Event::Binary(bytes))) => answers.push(message(Opcode::Binary, &bytes)),
            Ok(Some(Event::Ping(payload))) => answers.push(frame::pong(&payload)),
            Ok(Some(Event::Pong)) => {}
            Ok(Some(Event::Close(close))) => {
                answers.push(frame::close(close.code, ""));
                return (answers, true);
            }
            Err(violation) => {
                answers.push(frame::close(Some(violation.code()), &violation.to_string()));
                return (answers, true);
            }
        }
    }
}
