//! Listens to a topic over SSE and goes on where it was cut off. Needs: reqwest, tokio.
#![expect(clippy::print_stdout, reason = "an example prints what it hears")]
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [url, token, topic] = ["FANFARE_URL", "FANFARE_TOKEN", "TOPIC"].map(|name| std::env::var(name).expect(name));
    let (soon, silence) = (Duration::from_secs(10), Duration::from_secs(60));
    let http = reqwest::Client::builder().connect_timeout(soon).read_timeout(silence).build().expect("a client");
    let mut cursor = String::new();
    loop {
        let mut request =
            http.get(format!("{url}/v1/sse")).query(&[("topic", &*topic), ("from", "start")]).bearer_auth(&token);
        if !cursor.is_empty() {
            request = request.header("Last-Event-ID", &cursor);
        }
        if let Ok(mut stream) = request.send().await {
            let (mut text, mut name, mut data) = (Vec::new(), String::new(), Vec::new());
            while let Ok(Some(chunk)) = stream.chunk().await {
                text.extend_from_slice(&chunk);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line = String::from_utf8_lossy(&text[..end]).into_owned();
                    text.drain(..=end);
                    match line.split_once(": ").unwrap_or((&line, "")) {
                        ("id", id) => id.clone_into(&mut cursor),
                        ("event", event) => event.clone_into(&mut name),
                        ("data", line) => data.push(line.to_owned()),
                        ("", _) => {
                            // A blank line ends an event. `fanfare.…` are the server's own words.
                            if !data.is_empty() && !name.starts_with("fanfare.") {
                                println!("{}", data.join("\n"));
                            }
                            (name, data) = (String::new(), Vec::new());
                        }
                        _ => {}
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
