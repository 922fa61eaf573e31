//! Clients that begin and never end: heads, bodies, handshakes and sockets that stay half open.

use std::io::ErrorKind;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, PATIENCE, Proxy, RawWs, Request, Server, eventually, within, ws};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Undisturbed;

/// Whether the peer has closed `stream`; what it sent before is passed over.
fn is_closed(stream: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_end_are_closed_at_every_listener() {
    let server = Server::start(Config::new().set("http", "header_read_timeout = \"2s\"")).await;
    let mut witness = Undisturbed::new(&server).await;
    let mut slow = Vec::new();
    for listener in [server.public(), server.admin()] {
        for begin in
            ["", "G", "GET /v1/sse?topic=a HTTP/1.1\r\n", "GET / HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n\r\nSM\r"]
        {
            for _ in 0..20 {
                let mut stream = TcpStream::connect(listener).await.expect("accepted");
                stream.write_all(begin.as_bytes()).await.expect("written");
                slow.push(stream);
            }
        }
    }
    witness.still_hear(&server).await;
    eventually("all of them to be closed", PATIENCE, || {
        slow.retain(|stream| {
            // Another byte buys no time.
            let _ = stream.try_write(b"x");
            !is_closed(stream)
        });
        std::future::ready(slow.is_empty().then_some(()))
    })
    .await;
    witness.check(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_end_are_given_up() {
    let server = Server::start(Config::new().set("api", "body_timeout = \"2s\"").sse("body_timeout = \"2s\"")).await;
    let mut witness = Undisturbed::new(&server).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        for (listener, token, path) in [
            (server.admin(), Token::server().mint(), "/v1/publish"),
            (server.admin(), Token::server().mint(), "/v1/topics/a/events"),
            (server.public(), Token::client().mint(), "/v1/sse"),
        ] {
            let head = Request::new("POST", path).bearer(&token).header("Content-Type", "application/json");
            let head = head.header("Content-Length", "100000").bytes();
            let mut stream = TcpStream::connect(listener).await.expect("accepted");
            stream.write_all(&head).await.expect("written");
            stream.write_all(b"{\"topic\":").await.expect("written");
            slow.push(stream);
        }
    }
    witness.still_hear(&server).await;
    for stream in slow {
        let response = within("an answer to half a body", fanfare_tests::Response::read(stream, false)).await;
        let status = response.map(|response| response.status);
        assert!(matches!(status, Ok(408) | Err(_)), "{status:?}");
    }
    witness.check(&server).await;
}

/// A publisher that sends a body for ever, always a little: the time for the whole is what counts.
#[tokio::test]
async fn an_endless_body() {
    let server = Server::start(Config::new().set("api", "body_timeout = \"2s\"")).await;
    let witness = Undisturbed::new(&server).await;
    let head = Request::new("POST", "/v1/topics/a/events").bearer(&Token::server().mint());
    let head = head.header("Content-Type", "text/plain").header("Transfer-Encoding", "chunked").bytes();
    let mut stream = TcpStream::connect(server.admin()).await.expect("accepted");
    stream.write_all(&head).await.expect("written");
    eventually("the server to give up", PATIENCE, || {
        let _ = stream.try_write(b"1\r\nx\r\n");
        std::future::ready(is_closed(&stream).then_some(()))
    })
    .await;
    assert!(server.api().log_of("a").await.is_empty());
    witness.check(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_shake_hands_and_say_no_more() {
    let server = Server::start(Config::new().ws("connect_timeout = \"6s\"")).await;
    let mut witness = Undisturbed::new(&server).await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut raw = RawWs::connect(server.public()).await;
        if n % 2 == 0 {
            // The head of a frame, and then nothing.
            raw.write(&[0x81, 0xfe, 0x10]).await.expect("written");
        }
        silent.push(raw);
    }
    witness.still_hear(&server).await;
    for mut raw in silent {
        within("the end of a silent socket", raw.close_code()).await;
    }
    witness.check(&server).await;
}

/// A peer that vanishes without a word: the proxy swallows everything and keeps both sockets open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_sockets_are_found() {
    let config =
        Config::new().session("ping_interval = \"5s\"").ws("stall_timeout = \"4s\"").sse("stall_timeout = \"4s\"");
    let server = Server::start(config).await;
    let witness = Undisturbed::new(&server).await;
    let proxy = Proxy::start(server.public()).await;
    let mut vanished = Vec::new();
    for n in 0..20 {
        let mut client = ws::connect(proxy.address(), &Token::client().user("vanished").mint()).await;
        client.subscribe(&format!("vanished:{n}"), "start").await;
        vanished.push(client);
    }
    proxy.stall(true);
    // A client that does not answer pings is let go, whether or not anything waits for it.
    let api = server.api();
    eventually("the vanished to be let go", PATIENCE, || async {
        (api.get("/v1/sessions/count?user=vanished").await.ok()["count"] == 0).then_some(())
    })
    .await;
    drop((vanished, proxy));
    witness.check(&server).await;
}

/// A client that closes its sending side and keeps reading, or the other way round, is no trouble.
#[tokio::test]
async fn half_closed_sockets() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.public()).await.expect("accepted");
        stream.write_all(b"GET /v1/sse").await.expect("written");
        stream.shutdown().await.expect("half closed");
        let mut rest = Vec::new();
        let read = within("the end", stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok() || rest.is_empty());
    }
    witness.check(&server).await;
}
