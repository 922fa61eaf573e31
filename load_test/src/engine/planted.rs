//! Faults planted on a real socket: what a server does wrong must be seen, over every transport and in any pieces.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::crowd::Crowd;
use super::plan::Several;
use crate::stamp::Stamp;
use crate::target::adapter::Adapter;
use crate::target::{Target, Wish};
use crate::transport::Transport;
use crate::verify::Violations;

/// An event as the server frames it.
fn event(transport: Transport, payload: &[u8]) -> Vec<u8> {
    match transport {
        Transport::Sse => {
            let text = [b"id: p\ndata: ", payload, b"\n\n"].concat();
            [format!("{:x}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat()
        }
        Transport::Ws => {
            let length = u16::try_from(payload.len()).unwrap();
            [&[0x81, 126], &length.to_be_bytes()[..], payload].concat()
        }
        Transport::Grpc => data(payload),
    }
}

/// A DATA frame with one gRPC message.
fn data(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    let frame = (length + 5).to_be_bytes();
    [&frame[1..], &[0, 0, 0, 0, 0, 1, 0], &length.to_be_bytes(), message].concat()
}

/// What a reader of topic 7, and of further ones up to `topics`, finds wrong with events of these topics and sequences, in their order, written in pieces of `piece`
/// bytes; `corrupt` is changed in the middle.
fn found(
    transport: Transport,
    topics: u32,
    events: &[(u32, u32)],
    corrupt: Option<usize>,
    piece: usize,
) -> (u64, Violations) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut adapter = Adapter::bare().unwrap();
    (adapter.ports, adapter.subscribe_at) = (Vec::new(), address.to_string());
    adapter.grpc = Adapter::fanfare().unwrap().grpc;
    let target = Target::open(adapter, Path::new("/"), None).unwrap();
    // That was the target's look whether anybody is there.
    drop(listener.accept().unwrap());
    let mut crowd = Crowd::new(1, 8).unwrap();
    let wish = Wish::new(transport).of(Several { count: topics, apart: 1 });
    crowd.dial(&target.plan(&wish).unwrap(), 7).unwrap();

    let run = target.run;
    let mut bytes = match transport {
        Transport::Sse => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        Transport::Ws => b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
        // An empty HEADERS, and a frame that says it is subscribed. No SETTINGS: nobody would read what answers them.
        Transport::Grpc => [&[0, 0, 0, 1, 4, 0, 0, 0, 1], &data(&[0x1a, 0])[..]].concat(),
    };
    for (n, (topic, sequence)) in events.iter().enumerate() {
        let mut payload = Vec::new();
        Stamp { run, topic: *topic, publisher: 0, sequence: *sequence, at: 1 }.write(200, &mut payload);
        if corrupt == Some(n) {
            payload[150] ^= 1;
        }
        bytes.extend(event(transport, &payload));
    }
    let server = std::thread::spawn(move || {
        let mut stream: TcpStream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        bytes.chunks(piece).for_each(|piece| stream.write_all(piece).unwrap());
        // Until the reader has seen that it ends.
    });
    let ended = crowd.turn_until(Duration::from_secs(30), |crowd| crowd.sum(|tally| tally.lost + tally.refused) == 1);
    assert!(ended.unwrap(), "the reader has not seen the end");
    server.join().unwrap();
    (crowd.sum(|tally| tally.deliveries), crowd.violations())
}

fn check(events: &[(u32, u32)], corrupt: Option<usize>, deliveries: u64, expected: Violations) {
    for transport in [Transport::Sse, Transport::Ws, Transport::Grpc] {
        for piece in [1, 100, 1 << 20] {
            let found = found(transport, 1, events, corrupt, piece);
            assert_eq!(found, (deliveries, expected), "{transport:?} in pieces of {piece}");
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    check(&[(7, 1), (7, 2), (7, 3)], None, 3, Violations::default());
}

#[test]
fn a_gap_is_found() {
    check(&[(7, 1), (7, 3)], None, 2, Violations { missing: 1, ..Violations::default() });
    check(&[(7, 2)], None, 1, Violations { missing: 1, ..Violations::default() });
}

#[test]
fn a_duplicate_is_found() {
    check(&[(7, 1), (7, 1), (7, 2)], None, 2, Violations { duplicates: 1, ..Violations::default() });
}

#[test]
fn an_exchange_is_found() {
    check(&[(7, 2), (7, 1)], None, 2, Violations { reordered: 1, ..Violations::default() });
    check(&[(7, 1), (7, 3), (7, 2)], None, 3, Violations { reordered: 1, ..Violations::default() });
}

#[test]
fn a_corrupt_payload_is_found() {
    let expected = Violations { corrupt: 1, missing: 1, ..Violations::default() };
    check(&[(7, 1), (7, 2), (7, 3)], Some(1), 2, expected);
}

#[test]
fn an_event_of_another_topic_is_found() {
    check(&[(7, 1), (8, 1)], None, 1, Violations { strays: 1, ..Violations::default() });
}

#[test]
fn each_of_several_topics_is_verified_from_its_first_event() {
    for transport in [Transport::Sse, Transport::Ws] {
        let events = [(7, 1), (8, 1), (8, 2), (7, 2)];
        assert_eq!(found(transport, 2, &events, None, 100), (4, Violations::default()));
        let missing = Violations { missing: 1, ..Violations::default() };
        assert_eq!(found(transport, 2, &[(7, 1), (8, 2)], None, 100), (2, missing));
        let strays = Violations { strays: 1, ..Violations::default() };
        assert_eq!(found(transport, 2, &[(7, 1), (9, 1)], None, 100), (1, strays));
    }
}

#[test]
fn a_reader_of_several_topics_is_subscribed_when_all_are() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut adapter = Adapter::fanfare().unwrap();
    adapter.subscribe_at = listener.local_addr().unwrap().to_string();
    adapter.publish_at = None;
    let target = Target::open(adapter, Path::new("/"), None).unwrap();
    drop(listener.accept().unwrap());
    let plan = target.plan(&Wish::new(Transport::Ws).of(Several { count: 3, apart: 100 })).unwrap();
    let mut crowd = Crowd::new(1, 8).unwrap();
    crowd.dial(&plan, 7).unwrap();
    crowd.turn(Duration::ZERO).unwrap();
    let mut server: TcpStream = listener.accept().unwrap().0;
    server.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
    let mut asked = Vec::new();
    let is_asked =
        |asked: &[u8]| ["-7\"", "-107\"", "-207\""].map(|topic| String::from_utf8_lossy(asked).contains(topic));
    server.set_nonblocking(true).unwrap();
    let all = crowd.turn_until(Duration::from_secs(30), |_| {
        let mut piece = [0; 4096];
        if let Ok(n) = (&server).read(&mut piece) {
            asked.extend_from_slice(&piece[..n]);
        }
        is_asked(&asked) == [true; 3]
    });
    assert!(all.unwrap(), "{}", String::from_utf8_lossy(&asked));

    let mut say =
        |text: &str| server.write_all(&[&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat());
    // Two answers in one message are not enough for three topics.
    let two = "{\"subscribed\":{}}\n{\"subscribed\":{}}";
    say(two).unwrap();
    let bytes = ("HTTP/1.1 101 Switching Protocols\r\n\r\n".len() + 2 + two.len()) as u64;
    assert!(crowd.turn_until(Duration::from_secs(30), |crowd| crowd.sum(|tally| tally.bytes) == bytes).unwrap());
    assert_eq!(crowd.sum(|tally| tally.live), 0);
    say("{\"subscribed\":{}}").unwrap();
    assert!(crowd.turn_until(Duration::from_secs(30), |crowd| crowd.sum(|tally| tally.live) == 1).unwrap());
}

#[test]
fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut crowd = Crowd::new(1, 8).unwrap();
    crowd.local.callers(1, &[listener.local_addr().unwrap()], true);
    for published in 1..=2 {
        crowd.local.call(0, b"POST / HTTP/1.1\r\n\r\n", 1, 1).unwrap();
        let mut server = listener.accept().unwrap().0;
        crowd.turn(Duration::ZERO).unwrap();
        assert!(server.read(&mut [0; 64]).unwrap() > 0);
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        let count = |crowd: &Crowd| crowd.sum(|tally| tally.published);
        assert!(crowd.turn_until(Duration::from_secs(30), |crowd| count(crowd) == published).unwrap());
        // Nobody looks at the connection when the server closes it.
    }
    assert_eq!(crowd.sum(|tally| tally.unpublished), 0);
}
