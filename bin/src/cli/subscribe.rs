//! `fanfare subscribe`.

use clap::Args;

use crate::client::{self, ClientDoor, Follow, Show, Start, Transport};
use crate::failure::Failure;

/// Follow topics: print events as they come, and come back by itself after a disconnect.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare subscribe news --dev
  fanfare subscribe news chat:42 --from start --json
  fanfare subscribe orders:42 --from last:10 --transport ws --count 10
  fanfare subscribe news --from since:2026-11-21T10:00:00Z --url https://push.example.org")]
pub(super) struct Subscribe {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    #[command(flatten)]
    door: ClientDoor,
    /// How events travel.
    #[arg(long, default_value = "sse")]
    transport: Transport,
    /// Where to begin: now, start, last:N, since:TIME, or a position or cursor.
    #[arg(long, default_value = "now")]
    from: Start,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Subscribe {
    pub(super) fn run(self) -> Result<(), Failure> {
        let show = if self.json { Show::Json } else { Show::Text };
        let follow = Follow { door: self.door.open()?, topics: self.topics, from: self.from, show, count: self.count };
        client::run(follow.run(self.transport))
    }
}
