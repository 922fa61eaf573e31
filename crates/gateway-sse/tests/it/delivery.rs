//! How events are put on the wire.

use fanfare_gateway_sse::Options;
use fanfare_model::{ByteSize, Data, Draft};

use crate::server::{Client, data, server, server_with};

#[tokio::test(start_paused = true)]
async fn case_10_readers_of_a_topic_share_its_bytes() {
    let server = server();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..20 {
        let mut client = server.get("topic=a").open().await;
        client.frame().await;
        clients.push(client);
    }
    server.publish("a", &["hello"]).await;
    let first = clients[0].frame().await.unwrap();
    assert!(first.starts_with(b"id: ") && first.ends_with(b"\ndata: hello\n\n"), "{first:?}");
    for client in &mut clients[1..] {
        assert_eq!(client.frame().await.unwrap().as_ptr(), first.as_ptr(), "copied");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_few_writes_and_each_ends_with_a_whole_event() {
    let options = Options { write_batch: ByteSize::kib(4), ..Options::default() };
    let server = server_with(options, fanfare_session::Options::default());
    server.publish_numbers("a", 1..=900).await;
    for query in ["topic=a&from=start", "topic=a&topic=b&from=start"] {
        let mut client = server.get(query).open().await;
        client.frame().await;
        let mut frames = 0;
        while data(&crate::parser::parse(client.text().as_bytes())).len() < 900 {
            let frame = client.frame().await.unwrap();
            assert!(frame.ends_with(b"\n\n") && frame.len() < 4096 + 200, "{} bytes", frame.len());
            frames += 1;
        }
        let expected: Vec<_> = (1..=900).map(|n| n.to_string()).collect();
        assert_eq!(data(&client.events(900).await), expected);
        assert!(frames < 40, "{frames} writes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_event_is_not_copied_and_stays_in_its_place() {
    let server = server();
    let mut one = server.get("topic=a").open().await;
    let mut several = server.get("topic=a&topic=b").open().await;
    one.frame().await;
    several.frame().await;
    let large = "x".repeat(100_000);
    server.publish("a", &["before", &large, "after"]).await;
    for client in [&mut one, &mut several] {
        assert_eq!(data(&client.events(3).await), ["before", &large, "after"]);
    }
    let ids: Vec<_> = several.events(3).await.into_iter().map(|event| event.id).collect();
    assert!(ids.iter().all(|id| id.starts_with('~')) && ids[0] != ids[1] && ids[1] != ids[2]);

    server.publish("a", &[&large]).await;
    let whole = one.frame().await.unwrap();
    let id = several.frame().await.unwrap();
    let rest = several.frame().await.unwrap();
    assert!(id.starts_with(b"id: ~") && id.ends_with(b"\n") && id.len() < 100);
    assert_eq!(rest.as_ptr_range().end, whole.as_ptr_range().end, "copied");
}

#[tokio::test(start_paused = true)]
async fn order_holds_while_a_reader_goes_from_history_to_live() {
    let server = server();
    server.publish_numbers("a", 1..=50).await;
    let mut client = server.get("topic=a&from=start").open().await;
    for n in 51..=120 {
        server.publish_numbers("a", n..=n).await;
        if n % 7 == 0 {
            client.frame().await;
        }
    }
    let expected: Vec<_> = (1..=120).map(|n| n.to_string()).collect();
    assert_eq!(data(&client.events(120).await), expected);
}

#[tokio::test(start_paused = true)]
async fn binary_data_is_base64() {
    let server = server();
    let mut raw = server.get("topic=a").open().await;
    let mut envelope = server.get("topic=a&envelope=1").open().await;
    server.publish_drafts("a", vec![Draft::new(Data::binary(vec![0, 1, 255]))]).await;
    assert_eq!(data(&raw.events(1).await), ["AAH/"]);
    let value: serde_json::Value = serde_json::from_str(&envelope.events(1).await[0].data).unwrap();
    assert_eq!((&value["encoding"], &value["data"]), (&"base64".into(), &"AAH/".into()));
}
