//! The end of a run: everybody comes to the end of the log, and what they saw is compared with it.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_model::Position;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{PATIENCE, Play, Scale};
use crate::faults::checker::{Entry, Log};
use crate::faults::recorder::hash_of;
use crate::faults::report::{Report, Traffic};
use crate::{Api, eventually};

impl Play {
    /// Has everybody come to the end, and checks everything. Panics with what was broken.
    pub async fn finish(self) {
        self.recorder.note("the end begins");
        self.recorder.stop_publishing();
        let mut publishers = std::mem::take(&mut *self.publishers.lock());
        let ended = timeout(PATIENCE, async {
            while let Some(publisher) = publishers.join_next().await {
                publisher.expect("a publisher does not panic");
            }
        });
        ended.await.unwrap_or_else(|_| panic!("{}: publishers do not end", self.title()));
        let logs = self.logs().await;
        self.until_read(&logs).await;
        let mut readers = std::mem::take(&mut *self.readers.lock());
        readers.abort_all();
        while let Some(reader) = readers.join_next().await {
            // All were told to stop; one that had ended before did so in a panic.
            assert!(reader.as_ref().is_err_and(tokio::task::JoinError::is_cancelled), "{}: {reader:?}", self.title());
        }
        let (checker, history) = self.recorder.close();
        let verdict = checker.finish(&logs);
        let traffic = Traffic {
            acknowledged: verdict.figures.acknowledged,
            delivered: verdict.figures.delivered,
            reconnects: self.recorder.reconnects(),
            gaps: verdict.figures.gaps,
            lost: verdict.figures.lost,
        };
        let report = Report {
            scenario: self.name.to_owned(),
            engine: self.on.to_string(),
            seed: Some(self.seed),
            readers: self.cast.readers,
            traffic: Some(traffic),
            violations: verdict.figures.violations,
            recovery: self.recorder.recovery(),
            took: self.begun.elapsed(),
        };
        eprintln!("{report}");
        if self.scale == Scale::Long {
            report.keep();
        }
        let shown: Vec<String> = verdict.violations.iter().take(30).map(ToString::to_string).collect();
        assert!(
            shown.is_empty(),
            "{} with seed {}: {} violations; the history is in {}\n{}",
            self.title(),
            self.seed,
            verdict.figures.violations,
            history.display(),
            shown.join("\n")
        );
    }

    /// Every topic's log as it is now.
    async fn logs(&self) -> BTreeMap<String, Log> {
        let api = self.stage.apis[0].api().pooled();
        let mut logs = BTreeMap::new();
        for topic in &self.topics {
            let log = eventually(format!("the log of {topic}"), PATIENCE, || read(&api, topic)).await;
            logs.insert(topic.clone(), log);
        }
        logs
    }

    /// Waits until every reader has come to the end of its topics. One that does not is the checker's to name.
    async fn until_read(&self, logs: &BTreeMap<String, Log>) {
        let behind = |number: u32| {
            self.topics_of(number).into_iter().any(|topic| {
                let end = logs[&topic].entries.last().map_or(0, |entry| entry.offset);
                end > 0
                    && self
                        .recorder
                        .place(number, &topic)
                        .is_none_or(|place| place.epoch != logs[&topic].epoch || place.offset < end)
            })
        };
        let until = Instant::now() + PATIENCE;
        let entitled = self.entitled();
        while entitled.iter().copied().any(behind) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A whole log; `None` if the node cannot read it now.
async fn read(api: &Api, topic: &str) -> Option<Log> {
    let mut log = Log { epoch: 0, entries: Vec::new() };
    let mut from = "start".to_owned();
    loop {
        let path = format!("/v1/topics/{}/events?from={from}&limit=500", crate::percent_encode(topic));
        let answer = api.send(api.request(http::Method::GET, &path)).await.ok()?;
        if answer.status == 404 {
            return Some(log);
        }
        if !answer.status.is_success() {
            return None;
        }
        let page = answer.json();
        let events = page["events"].as_array()?;
        for event in events {
            let position: Position = event["position"].as_str()?.parse().ok()?;
            log.epoch = position.epoch.as_u32();
            let (id, hash) = (event["id"].as_str()?.to_owned(), hash_of(&event["data"]));
            let time = event["time"].as_u64()?;
            log.entries.push(Entry { offset: position.offset, id, hash, time });
        }
        match events.last().and_then(|event: &Value| event["position"].as_str()) {
            Some(last) => last.clone_into(&mut from),
            None => return Some(log),
        }
    }
}
