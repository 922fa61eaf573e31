//! How many ask at a time, and when nobody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use fanfare_session::{Hook, Verdict};
use futures_util::future::join_all;
use tokio::sync::{Barrier, Notify};

use crate::asking::{Asking, allowed, ask, is_unavailable, url};
use crate::server::Server;

const YES: &str = "{\"allow\":{}}";

#[tokio::test]
async fn as_many_ask_at_a_time_as_may() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Nobody is answered before three are there.
    let three = Arc::new(Barrier::new(3));
    let server = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Server::start(move |_| {
            let (now, most, three) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&three));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                three.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Response::new(Body::from(YES))
            }
        })
        .await
    };
    let of_hook = "timeout = \"30s\"";
    let asking = Asking::at(Hook::Connect, &url(server.address, "/"), of_hook, "concurrency_max = 3");
    let verdicts = join_all((0..30).map(|_| asking.ask(ask(Hook::Connect)))).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Allow(_))));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn whoever_finds_no_place_in_time_is_told_so_and_blames_nobody() {
    let server = Server::start(|_| std::future::pending()).await;
    let asking = Asking::at(
        Hook::Connect,
        &url(server.address, "/"),
        "timeout = \"200ms\"",
        "concurrency_max = 1\nbreaker = { failures = 5, pause = \"1h\" }",
    );
    // All have the same deadline: one has the place, and when it gives up nobody else has time left.
    let verdicts = join_all((0..50).map(|_| asking.ask(ask(Hook::Connect)))).await;
    assert!(verdicts.iter().all(is_unavailable));
    let (busy, open) = (asking.counted(Hook::Connect, "busy"), asking.counted(Hook::Connect, "open"));
    assert!(busy >= 45 && open == 0, "{busy} busy, {open} left out");
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let (came, first) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let server = {
        let came = Arc::clone(&came);
        Server::start(move |_| {
            let (came, is_first) = (Arc::clone(&came), first.swap(false, Ordering::SeqCst));
            async move {
                came.notify_one();
                if is_first {
                    std::future::pending::<()>().await;
                }
                Response::new(Body::from(YES))
            }
        })
        .await
    };
    let asking = Asking::at(
        Hook::Connect,
        &url(server.address, "/"),
        "timeout = \"30s\"",
        "concurrency_max = 1\nbreaker = { failures = 1, pause = \"1h\" }",
    );
    tokio::select! {
        verdict = asking.ask(ask(Hook::Connect)) => panic!("{verdict:?}"),
        () = came.notified() => {}
    }
    allowed(asking.ask(ask(Hook::Connect)).await);
}

/// Answers 500 until it `works`.
async fn failing(works: &Arc<AtomicBool>) -> Server {
    let works = Arc::clone(works);
    Server::start(move |_| {
        let status = if works.load(Ordering::SeqCst) { 200 } else { 500 };
        std::future::ready(Response::builder().status(status).body(Body::from(YES)).unwrap())
    })
    .await
}

#[tokio::test]
async fn a_hook_that_fails_is_left_out_by_itself() {
    let server = failing(&Arc::default()).await;
    let url = url(server.address, "/");
    let asking = Asking::new(&format!(
        "breaker = {{ failures = 3, pause = \"1h\" }}\n[connect]\nurl = \"{url}\"\n[refresh]\nurl = \"{url}\"\n\
         [publish]\nurl = \"{url}\"\non_error = \"allow\""
    ));
    for asked in 1..=5 {
        assert!(is_unavailable(&asking.ask(ask(Hook::Connect)).await));
        allowed(asking.ask(ask(Hook::Publish)).await);
        assert_eq!(server.received().len(), 2 * asked.min(3), "after {asked}");
    }
    assert_eq!((asking.counted(Hook::Connect, "status"), asking.counted(Hook::Connect, "open")), (3, 2));
    // Another hook has a breaker of its own.
    assert!(is_unavailable(&asking.ask(ask(Hook::Refresh)).await));
    assert_eq!(asking.counted(Hook::Refresh, "status"), 1);
}

#[tokio::test]
async fn a_hook_that_was_left_out_comes_back() {
    let works = Arc::new(AtomicBool::new(false));
    let server = failing(&works).await;
    let of_section = "breaker = { failures = 1, pause = \"50ms\" }";
    let asking = Asking::at(Hook::Connect, &url(server.address, "/"), "", of_section);
    assert!(is_unavailable(&asking.ask(ask(Hook::Connect)).await));
    works.store(true, Ordering::SeqCst);
    let back = async {
        while is_unavailable(&asking.ask(ask(Hook::Connect)).await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
    assert_eq!(asking.counted(Hook::Connect, "status"), 1);
    // All may ask again, not only the one that tried.
    let verdicts = join_all((0..10).map(|_| asking.ask(ask(Hook::Connect)))).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Allow(_))));
}
