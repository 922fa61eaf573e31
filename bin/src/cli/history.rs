//! `fanfare history`.

use clap::Args;
use fanfare_model::Timestamp;
use serde_json::Value;

use crate::client::{self, Requests, ServerDoor, Show, send};
use crate::failure::{Code, Failure};
use crate::print;

/// Print what is kept of a topic.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare history news --last 20 --dev
  fanfare history news --from 100 --limit 50 --json
  fanfare history news --since 2026-11-21T10:00:00Z
  fanfare history news --backward --limit 10")]
pub(super) struct History {
    /// The topic.
    topic: String,
    #[command(flatten)]
    door: ServerDoor,
    /// The last so many events.
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "since", "backward"])]
    last: Option<u64>,
    /// From this offset on.
    #[arg(long, value_name = "OFFSET", conflicts_with_all = ["since", "backward"])]
    from: Option<u64>,
    /// From this time on: RFC 3339, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, conflicts_with = "backward")]
    since: Option<Timestamp>,
    /// From newer to older.
    #[arg(long)]
    backward: bool,
    /// At most so many events. Default: all.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self) -> Result<(), Failure> {
        let requests = Requests::to(self.door.clone().open()?)?;
        client::run(self.pages(requests))
    }

    async fn pages(self, requests: Requests) -> Result<(), Failure> {
        let show = if self.json { Show::Json } else { Show::Text };
        let mut left = self.limit.or(self.last).unwrap_or(u64::MAX);
        let mut query = self.query();
        while left > 0 {
            // Pages have the size that the server likes; what is more than wanted is left out here.
            let request = requests.get(&["v1", "topics", &self.topic, "events"]).query(&query);
            let page = send(request).await?.bytes().await.map_err(client::unreachable)?;
            let page: Value = serde_json::from_slice(&page)
                .map_err(|error| Failure::because(Code::Refused, "the server's answer is not JSON", error))?;
            let events = page.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if let Some(gap) = page.get("gap").filter(|gap| !gap.is_null()) {
                show.gap(gap);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            for event in events.iter().take(wanted) {
                show.event(event);
                left -= 1;
            }
            let next = page.get("next").and_then(Value::as_str);
            let (Some(next), Some(true)) = (next, page.get("more").and_then(Value::as_bool)) else { break };
            query = vec![("from", next.to_owned())];
            query.extend(self.backward.then(|| ("direction", "backward".to_owned())));
        }
        if left > 0 && self.limit.is_some() {
            print::remark("that is all there is");
        }
        Ok(())
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        // The API reads what comes after an offset.
        query.extend(self.last.map(|last| ("last", last.to_string())));
        query.extend(self.from.map(|from| ("from", from.saturating_sub(1).to_string())));
        query.extend(self.since.map(|since| ("since", since.to_string())));
        query.extend(self.backward.then(|| ("direction", "backward".to_owned())));
        query
    }
}
