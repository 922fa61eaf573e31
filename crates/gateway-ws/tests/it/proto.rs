//! The subprotocol `fanfare.v1.proto`: the same session in binary messages.

use fanfare_proto::v1::{
    self, ClientFrame, Message as Publication, ServerFrame, client_frame::Command, message, server_frame::What,
};
use futures_util::SinkExt as _;
use prost::Message as _;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Choices, Peer, TestNode, node};

async fn open(node: &TestNode) -> Peer {
    node.try_open(&[("sec-websocket-protocol", "fanfare.v1.proto")]).await.unwrap()
}

async fn ask(peer: &mut Peer, command: Command) -> What {
    let frame = ClientFrame { id: 7, command: Some(command) };
    peer.socket.send(Message::binary(frame.encode_to_vec())).await.unwrap();
    let reply = said(peer).await;
    assert_eq!(reply.id, 7, "{reply:?}");
    reply.what.unwrap()
}

/// The next thing said that is not a ping, which may come at any time.
async fn said(peer: &mut Peer) -> ServerFrame {
    loop {
        match peer.message().await {
            Message::Binary(bytes) => match ServerFrame::decode(bytes).unwrap() {
                ServerFrame { what: Some(What::Ping(_)), .. } => {}
                other => return other,
            },
            other => panic!("not binary: {other:?}"),
        }
    }
}

#[tokio::test]
async fn connect_subscribe_publish_and_hear() {
    let node = node(Choices::default()).await;
    let mut peer = open(&node).await;
    let connect = v1::Connect { token: node.token("alice"), ..v1::Connect::default() };
    match ask(&mut peer, Command::Connect(connect)).await {
        What::Connected(connected) => {
            assert_eq!((connected.user.as_str(), connected.resumed), ("alice", false));
            assert!(connected.resume.starts_with("fr1."));
        }
        other => panic!("{other:?}"),
    }
    let subscribe = v1::Subscribe { topic: "chat:1".to_owned(), presence: true, ..v1::Subscribe::default() };
    assert!(matches!(ask(&mut peer, Command::Subscribe(subscribe)).await, What::Subscribed(_)));
    assert!(matches!(said(&mut peer).await.what, Some(What::Presence(members)) if members.count == 0));
    // What JSON clients publish is the same event here.
    let mut bob = node.connect("bob").await;
    let published = bob.ask("publish", serde_json::json!({"topic": "chat:1", "data": {"n": 1}})).await;
    match said(&mut peer).await.what {
        Some(What::Event(event)) => {
            assert_eq!(published["published"]["position"], event.position.as_str());
            assert_eq!(event.user, "bob");
            assert!(matches!(event.data, Some(v1::event::Data::Json(json)) if json.as_ref() == br#"{"n":1}"#));
        }
        other => panic!("{other:?}"),
    }
    bob.ask("presence", serde_json::json!({"topic": "chat:1", "enter": {"mood": "good"}})).await;
    match said(&mut peer).await.what {
        Some(What::PresenceDiff(diff)) => assert_eq!((diff.join[0].user.as_str(), diff.count), ("bob", 1)),
        other => panic!("{other:?}"),
    }
    let message = Publication { data: Some(message::Data::Text("hi".to_owned())), ..Publication::default() };
    let publish = v1::Publish { topic: "news".to_owned(), message: Some(message) };
    match ask(&mut peer, Command::Publish(publish)).await {
        What::Error(error) => assert_eq!(error.code, "permission_denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn text_and_nonsense_end_the_connection() {
    let node = node(Choices::default()).await;
    let mut peer = open(&node).await;
    peer.send("{}").await;
    assert_eq!(peer.closed().await, 1003);
    let mut peer = open(&node).await;
    peer.socket.send(Message::binary(b"\xff\xff\xff".as_slice())).await.unwrap();
    assert!(matches!(said(&mut peer).await.what, Some(What::Error(error)) if error.code == "invalid_request"));
    assert!(matches!(said(&mut peer).await.what, Some(What::Disconnect(away)) if away.code == 4005));
    assert_eq!(peer.closed().await, 4005);
}
