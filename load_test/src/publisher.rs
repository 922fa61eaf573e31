//! What is published: requests made from the adapter's templates, with a stamp in each payload.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::engine::plan::topic;
use crate::stamp::Stamp;
use crate::target::adapter::Publish;
use crate::target::template::{Template, Values};

/// Makes the requests of one publisher and counts its events per topic.
pub(crate) struct Publisher {
    number: u16,
    run: u16,
    /// Bytes of a payload.
    pub(crate) bytes: usize,
    names: Template,
    head: Template,
    body: Template,
    item: Template,
    pub(crate) batch_max: usize,
    token: String,
    sequences: BTreeMap<u32, u32>,
    payload: Vec<u8>,
    items: Vec<u8>,
    filled: Vec<u8>,
    request: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(
        publish: &Publish,
        constants: &BTreeMap<String, String>,
        names: Template,
        at: SocketAddr,
        run: u16,
        token: String,
    ) -> Self {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {at}\r\n", publish.method, publish.path);
        for line in &publish.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        let body = Template::new(&publish.body, constants);
        let batch_max = if body.takes_items() { publish.batch_max } else { 1 };
        Self {
            number: 0,
            run,
            bytes: 128,
            names,
            head: Template::new(&head, constants),
            body,
            item: Template::new(&publish.item, constants),
            batch_max,
            token,
            sequences: BTreeMap::new(),
            payload: Vec::new(),
            items: Vec::new(),
            filled: Vec::new(),
            request: Vec::new(),
        }
    }

    /// A request that publishes the next `count` events to a topic, meant to be sent at `at`.
    pub(crate) fn request(&mut self, topic_number: u32, count: usize, at: u64) -> &[u8] {
        let name = topic(&self.names, topic_number);
        let mut values = Values { topic: &name, token: &self.token, ..Values::default() };
        let sequence = self.sequences.entry(topic_number).or_insert(0);
        self.items.clear();
        for n in 0..count {
            *sequence += 1;
            self.payload.clear();
            let stamp = Stamp { run: self.run, topic: topic_number, publisher: self.number, sequence: *sequence, at };
            stamp.write(self.bytes, &mut self.payload);
            if n > 0 {
                self.items.push(b',');
            }
            self.item.render(&Values { payload: &self.payload, ..values }, &mut self.items);
        }
        (values.payload, values.items) = (&self.payload, &self.items);
        self.filled.clear();
        self.body.render(&values, &mut self.filled);
        self.request.clear();
        self.head.render(&values, &mut self.request);
        self.request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.filled.len()).as_bytes());
        self.request.extend_from_slice(&self.filled);
        &self.request
    }
}

/// The next payload of a client that publishes by itself.
pub(crate) fn payload(stamp: &Stamp, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes);
    stamp.write(bytes, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(body: &str, item: &str) -> Publisher {
        let publish = Publish {
            method: "POST".to_owned(),
            path: "/pub/{topic}".to_owned(),
            headers: vec!["X: {token}".to_owned()],
            body: body.to_owned(),
            item: item.to_owned(),
            batch_max: 10,
            pipelined: true,
            jwt: None,
        };
        let none = BTreeMap::new();
        let names = Template::new("t-{topic}", &none);
        Publisher::new(&publish, &none, names, SocketAddr::from(([127, 0, 0, 1], 80)), 9, "secret".to_owned())
    }

    #[test]
    fn a_batch_is_one_request_with_stamps_in_sequence() {
        let mut publisher = publisher(r#"{"topic":"{topic}","messages":[{items}]}"#, r#"{"data":"{payload}"}"#);
        let request = String::from_utf8(publisher.request(5, 3, 77).to_vec()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /pub/t-5 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX: secret\r\n"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        for (n, message) in json["messages"].as_array().unwrap().iter().enumerate() {
            let stamp = Stamp::find(message["data"].as_str().unwrap().as_bytes()).unwrap().0.unwrap();
            let sequence = u32::try_from(n + 1).unwrap();
            assert_eq!(stamp, Stamp { run: 9, topic: 5, publisher: 0, sequence, at: 77 });
        }
        assert_eq!(publisher.batch_max, 10);
    }

    #[test]
    fn a_body_for_one_takes_no_batch() {
        let mut publisher = publisher("{payload}", "");
        assert_eq!(publisher.batch_max, 1);
        let request = publisher.request(0, 1, 1).to_vec();
        assert!(request.ends_with(&payload(&Stamp { run: 9, topic: 0, publisher: 0, sequence: 1, at: 1 }, 128)));
    }
}
