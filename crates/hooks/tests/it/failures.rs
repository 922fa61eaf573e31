//! An application that fails in every way it can.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use fanfare_session::Hook;
use futures_util::stream;
use tokio::net::{TcpListener, TcpSocket};

use crate::asking::{Asking, allowed, ask, is_unavailable, url};
use crate::server::Server;

const HOOK: Hook = Hook::Connect;

/// Asks once, and expects no answer for this reason.
async fn expect(asking: &Asking, why: &str) {
    let verdict = asking.ask(ask(HOOK)).await;
    assert!(is_unavailable(&verdict), "{verdict:?}");
    assert_eq!(asking.counted(HOOK, why), 1, "not {why}");
}

#[tokio::test]
async fn nobody_listens() {
    // Ours, so that nobody else is given it, and deaf.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    expect(&Asking::at(HOOK, &url(address, "/"), "", ""), "unreachable").await;
    let lenient = Asking::at(HOOK, &url(address, "/"), "on_error = \"allow\"", "");
    let allow = allowed(lenient.ask(ask(HOOK)).await);
    assert!(allow.subscribe.is_empty() && allow.draft.is_none());
    assert_eq!(lenient.counted(HOOK, "unreachable"), 1);
}

#[tokio::test]
async fn it_never_answers() {
    let server = Server::start(|_| std::future::pending()).await;
    let asking = Asking::at(HOOK, &url(server.address, "/"), "timeout = \"1s\"", "");
    let asked_at = Instant::now();
    expect(&asking, "timeout").await;
    assert!(asked_at.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.received().len(), 1, "it was not asked, or twice");
}

#[tokio::test]
async fn it_takes_the_connection_and_says_nothing() {
    // A listener whose queue takes connections that nobody accepts.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    expect(&Asking::at(HOOK, &url(address, "/"), "timeout = \"1s\"", ""), "timeout").await;
}

#[tokio::test]
async fn its_answer_begins_and_does_not_end() {
    let server = Server::start(|_| async {
        let begun = stream::once(async { Ok::<_, std::io::Error>("{\"allow\":{}}") });
        Response::new(Body::from_stream(futures_util::StreamExt::chain(begun, stream::pending())))
    })
    .await;
    expect(&Asking::at(HOOK, &url(server.address, "/"), "timeout = \"1s\"", ""), "timeout").await;
}

#[tokio::test]
async fn its_answer_breaks_off() {
    let server = Server::start(|_| async {
        let parts = stream::iter([Ok("{\"allow\":{}}"), Err(std::io::Error::other("broken"))]);
        Response::new(Body::from_stream(parts))
    })
    .await;
    expect(&Asking::at(HOOK, &url(server.address, "/"), "", ""), "unreachable").await;
}

#[tokio::test]
async fn its_answer_is_huge() {
    let small = "answer_bytes_max = \"1KiB\"";
    let told = Server::start(|_| async { Response::new(Body::from(vec![b' '; 2000])) }).await;
    expect(&Asking::at(HOOK, &url(told.address, "/"), "", small), "too_large").await;
    // Without a length, and without an end.
    let endless = Server::start(|_| async {
        let spaces = || Ok::<_, std::io::Error>(vec![b' '; 500]);
        Response::new(Body::from_stream(stream::repeat_with(spaces)))
    })
    .await;
    expect(&Asking::at(HOOK, &url(endless.address, "/"), "", small), "too_large").await;
}

#[tokio::test]
async fn it_sends_elsewhere() {
    let elsewhere = Server::answering("{\"allow\":{}}").await;
    let target = url(elsewhere.address, "/");
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server = Server::start(move |_| {
            let response = Response::builder().status(status).header("location", &target).body(Body::empty());
            std::future::ready(response.unwrap())
        })
        .await;
        expect(&Asking::at(HOOK, &url(server.address, "/"), "", ""), "status").await;
    }
    assert!(elsewhere.received().is_empty(), "the question went to a stranger");
}

#[tokio::test]
async fn another_status_is_no_answer_whatever_it_says() {
    for status in [201, 204, 400, 401, 403, 404, 500, 503] {
        let server = Server::start(move |_| {
            let response = Response::builder().status(status).body(Body::from("{\"allow\":{}}"));
            std::future::ready(response.unwrap())
        })
        .await;
        expect(&Asking::at(HOOK, &url(server.address, "/"), "", ""), "status").await;
    }
}
