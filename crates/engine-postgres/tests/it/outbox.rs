//! Applications that publish in their own transactions.

use fanfare_model::{DataKind, Timestamp};

use crate::support::{Node, application, ask, run, shared, until};

async fn policies_are_there(connection: &mut sqlx::PgConnection, schema: &str) {
    until(connection, &format!("SELECT count(*)::text FROM {schema}.policy WHERE kind = 'few'"), "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_published_with_its_transaction_or_not_at_all() {
    let url = shared().await.url();
    let node = Node::start(&url, "outbox").await;
    let mut listener = node.listen(&["orders:1", "marker"]).await;
    let mut app = application(&url).await;
    run(&mut app, "CREATE TABLE orders (id int)").await.unwrap();
    let order = "INSERT INTO orders VALUES (1);
        SELECT outbox.publish('orders:1', '{\"id\": 1}', name => 'created', event_id => 'order-1', key => 'k',
            user_id => 'ada', occurred_at => '2026-11-21T10:00:00Z', headers => '{\"traceparent\": \"00-1\"}',
            data_schema => 's.v1')";
    run(&mut app, &format!("BEGIN; {order}")).await.unwrap();
    node.publish("marker", "before").await;
    listener.until_text("before").await;
    assert!(listener.texts_of("orders:1").is_empty(), "it is not committed");
    run(&mut app, "ROLLBACK").await.unwrap();
    node.publish("marker", "after").await;
    listener.until_text("after").await;
    assert!(listener.texts_of("orders:1").is_empty(), "it was rolled back");

    run(&mut app, &format!("BEGIN; {order}; COMMIT; SELECT outbox.bell()")).await.unwrap();
    listener.until_text("{\"id\": 1}").await;
    let event = listener.events().pop().unwrap();
    let draft = &event.draft;
    assert_eq!((event.offset, event.prev), (1, 0), "what was rolled back left no hole");
    assert_eq!((draft.id.as_str(), draft.data.kind()), ("order-1", DataKind::Json));
    assert_eq!(draft.name.as_ref().map(AsRef::as_ref), Some("created"));
    assert_eq!(draft.user.as_ref().map(AsRef::as_ref), Some("ada"));
    assert_eq!(draft.key.as_ref().map(AsRef::as_ref), Some("k"));
    assert_eq!(draft.source.as_ref().map(AsRef::as_ref), Some("postgres"));
    assert_eq!(draft.schema.as_ref().map(AsRef::as_ref), Some("s.v1"));
    assert_eq!(draft.headers.get("traceparent"), Some("00-1"));
    assert_eq!(draft.occurred_at, Some(Timestamp::parse("2026-11-21T10:00:00Z").unwrap()));
    assert_eq!(ask(&mut app, "SELECT count(*)::text FROM orders").await, "1");

    let again = "SELECT event_offset || ' ' || duplicate FROM outbox.publish('orders:1', '{}', event_id => 'order-1')";
    assert_eq!(ask(&mut app, again).await, "1 true");
    assert_eq!(node.publish("orders:1", "next").await.position.offset, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_may_not_publish_is_refused() {
    let url = shared().await.url();
    let node = Node::start(&url, "refusing").await;
    let mut app = application(&url).await;
    policies_are_there(&mut app, "refusing").await;
    let deep = format!("'{}1{}'", "[".repeat(101), "]".repeat(101));
    let fits = format!("'{}1{}'", "[".repeat(100), "]".repeat(100));
    let large = format!("'\"{}\"'", "x".repeat(1024));
    for (arguments, part) in [
        ("'', '1'", "topic has 0 bytes"),
        ("'a b', '1'", "not of the form"),
        ("'a:', '1'", "not of the form"),
        ("E'a:\\u200bb', '1'", "invisible"),
        ("'a', '1', name => 'fanfare.x'", "kept for the server"),
        ("'a', '1', event_id => ''", "event_id has 0 bytes"),
        ("'a', '1', tenant => ''", "tenant has 0 bytes"),
        ("'a', '1', headers => '[]'", "not an object"),
        ("'a', '1', headers => '{\"A\": \"b\"}'", "header A"),
        ("'a', '1', headers => '{\"a\": 1}'", "header a"),
        ("'passing:1', '1'", "keep no history"),
        (&*format!("'few:1', {large}"), "allow at most 1024"),
        (&*format!("'a', {deep}"), "100 levels"),
    ] {
        let error = run(&mut app, &format!("SELECT refusing.publish({arguments})")).await.unwrap_err();
        assert!(error.contains(part), "{arguments}: {error}");
    }
    run(&mut app, &format!("SELECT refusing.publish('a', {fits})")).await.unwrap();
    for n in 0..5 {
        run(&mut app, &format!("SELECT refusing.publish('few:1', '{n}')")).await.unwrap();
    }
    let heads = node.bus.heads(vec![crate::support::key("few:1"), crate::support::key("a")]).await.unwrap();
    assert_eq!((heads[0].last.offset, heads[0].first, heads[0].events), (5, 3, 3), "kept as the policy says");
    assert_eq!(heads[1].events, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_needs_to_see_nothing_but_the_function() {
    let server = shared().await;
    let url = server.database("guarded").await;
    let node = Node::start(&url, "fanfare").await;
    let mut owner = application(&url).await;
    run(&mut owner, "CREATE ROLE shop LOGIN; GRANT USAGE ON SCHEMA fanfare TO shop").await.unwrap();
    let mut app = application(&url.replace("postgres@", "shop@")).await;
    run(&mut app, "SELECT fanfare.publish('orders:7', '{}')").await.unwrap();
    for sql in ["SELECT * FROM fanfare.log", "SELECT fanfare.purge(1, 'default', 'orders:7', true)"] {
        assert!(run(&mut app, sql).await.unwrap_err().contains("permission denied"), "{sql}");
    }
    let heads = node.bus.heads(vec![crate::support::key("orders:7")]).await.unwrap();
    assert_eq!(heads[0].last.offset, 1);
}
