//! Writing what was noted to the logs of its topics.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fanfare_bus::{Bus, Direction, Durability, Read, ReadFrom};
use fanfare_cluster::Ownership;
use fanfare_model::{EventId, Timestamp, TopicKey};
use metrics::counter;
use tokio_util::sync::CancellationToken;

use super::journal::{Fault, Journal, Left, Stage};
use super::note::{Doubt, Note, Stay};
use super::{Diary, Queue};
use crate::metrics::LOGGED;
use crate::progress::Progress;

/// The most notes that are written at a time.
const BATCH: usize = 512;
/// How long to wait when the log or the journal does not take them.
const PAUSE: Duration = Duration::from_secs(1);
/// What was appended just before the end of the process is looked for from so long before it was noted: clocks are set.
const LOOK_BACK: Duration = Duration::from_secs(60);
/// What was tried longer ago is looked for before it is tried again: well below the time for which logs know ids.
const MOMENT: Duration = Duration::from_secs(30);
/// Events per page, and bytes, when looking for it.
const PAGE: (usize, usize) = (256, 256 * 1024);

/// Where notes are written to.
pub(crate) struct Desk<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) ownership: &'a Ownership,
    pub(crate) progress: &'a Progress,
}

impl Diary {
    /// Ends what an earlier process has left in the journal at `path`, and then writes what is noted, until `stop`.
    pub(crate) async fn run(&self, desk: Desk<'_>, path: Option<PathBuf>, stop: &CancellationToken) {
        let journal = match path.filter(|_| !self.outlives_node) {
            Some(path) => match self.recover(desk.bus, path).await {
                Ok(journal) => Some(journal),
                Err(fault) => {
                    let cause = std::error::Error::source(&fault).map(ToString::to_string);
                    tracing::error!(error = %fault, cause, "joins and leaves cannot be logged");
                    return;
                }
            },
            None => None,
        };
        loop {
            match self.write(&desk, journal.as_ref()).await {
                Wrote::Some => {}
                Wrote::Nothing => tokio::select! {
                    () = self.news.notified() => {}
                    () = stop.cancelled() => return,
                },
                Wrote::Failed => {
                    if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                        // What is left is in the journal, and ended when the process starts again, or in the feed.
                        return;
                    }
                }
            }
        }
    }

    /// Puts what is missing in the logs before everything else.
    async fn recover(&self, bus: &Bus, path: PathBuf) -> Result<Journal, Fault> {
        let (journal, left) = on_disk(move || open(&path)).await?;
        let (mut missing, mut ended) = (Vec::new(), Vec::new());
        for same in left.chunk_by(|a, b| a.topic == b.topic) {
            self.compare(bus, same, &mut missing, &mut ended).await;
        }
        done(Some(&journal), &ended).await?;
        if !missing.is_empty() {
            tracing::info!(notes = missing.len(), "logging what an earlier process has left");
        }
        let mut queue = self.queue.lock();
        queue.next_number = left.iter().map(|left| left.record.number + 1).max().unwrap_or_default();
        queue.put_first(missing);
        drop(queue);
        Ok(journal)
    }

    /// Compares what is left of a topic with its log: what is missing there, in the order in which it is to be appended,
    /// and the ends that are not.
    async fn compare(&self, bus: &Bus, left: &[Left], missing: &mut Vec<Note>, ended: &mut Vec<Note>) {
        let mut doubtful: Vec<Note> = left.iter().filter_map(Left::doubtful).collect();
        doubtful.sort_by_key(|note| note.number);
        let wanted: HashSet<EventId> = doubtful.iter().map(Note::event_id).collect();
        let found = match doubtful.iter().map(|note| note.at).min() {
            Some(since) => find(bus, &doubtful[0].topic, since, &wanted).await,
            None => HashSet::new(),
        };
        for note in doubtful {
            match (found.contains(&note.event_id()), note.begins()) {
                (false, _) => missing.push(note),
                (true, false) => ended.push(note),
                (true, true) => {}
            }
        }
        // Then everybody leaves, and after that the topic is vacated.
        let (now, open) = (self.clock.now(), left.iter().filter(|left| left.record.progress != Stage::Ending));
        let (own, of_members): (Vec<_>, Vec<_>) = open.partition(|left| left.record.member.is_none());
        missing.extend(of_members.iter().chain(&own).map(|left| left.end(now)));
    }

    async fn write(&self, desk: &Desk<'_>, journal: Option<&Journal>) -> Wrote {
        let notes = self.next_batch();
        if notes.is_empty() {
            return Wrote::Nothing;
        }
        let policy = |note: &Note| desk.bus.policy(&note.topic.topic);
        let survives = notes.iter().any(|note| policy(note).keep.durability == Durability::Committed);
        if let Err(fault) = begin(journal, &notes, survives).await {
            tracing::error!(error = %fault, "the journal of presence cannot be written");
            return Wrote::Failed;
        }
        let known = known(desk.bus, &notes, self.clock.now()).await;
        let ours: Vec<bool> = notes.iter().map(|note| self.is_ours(note, desk.ownership)).collect();
        let is_due = |at: usize| ours[at] && !known.contains(&notes[at].event_id());
        let written = append(desk.bus, &notes, &is_due).await;
        if let Err(fault) = done(journal, &notes[..written]).await {
            tracing::error!(error = %fault, "the journal of presence cannot be written");
            return Wrote::Failed;
        }
        let waiting = {
            let mut queue = self.queue.lock();
            queue.strike(written, notes.len());
            queue.notes.len()
        };
        self.waiting.set(waiting as f64);
        self.left.send_replace(waiting);
        // What is not ours any more is not logged; it is left to whose it is.
        let logged = notes[..written].iter().zip(&ours).filter(|(_, ours)| **ours);
        let origins = logged.filter_map(|(note, _)| note.origin);
        desk.progress.logged(origins.map(|origin| (origin.shard, origin.position)));
        if written == notes.len() { Wrote::Some } else { Wrote::Failed }
    }

    /// Whether it is for this node to log: if the shard has another owner by now, that does.
    fn is_ours(&self, note: &Note, ownership: &Ownership) -> bool {
        !self.outlives_node || note.origin.is_none_or(|origin| ownership.owns(origin.shard, origin.fence))
    }

    /// The oldest notes, each of another stay where that is in the journal, with their numbers.
    fn next_batch(&self) -> Vec<Note> {
        let mut queue = self.queue.lock();
        let Queue { notes, next_number, .. } = &mut *queue;
        let mut stays = HashSet::new();
        let is_next = |note: &&mut Note| self.outlives_node || stays.insert(Stay::clone(&note.stay));
        let numbered = notes.iter_mut().take(BATCH).take_while(is_next).map(|note| {
            if note.number.is_none() {
                note.number = Some(*next_number);
                *next_number += 1;
            }
            note.clone()
        });
        numbered.collect()
    }
}

/// What became of an attempt to write.
enum Wrote {
    Some,
    Nothing,
    Failed,
}

fn open(path: &Path) -> Result<(Journal, Vec<Left>), Fault> {
    let journal = Journal::open(path)?;
    let left = journal.left()?;
    Ok((journal, left))
}

async fn begin(journal: Option<&Journal>, notes: &[Note], survives_machine: bool) -> Result<(), Fault> {
    let Some(journal) = journal.cloned() else { return Ok(()) };
    let notes = notes.to_vec();
    on_disk(move || journal.begin(&notes, survives_machine)).await
}

async fn done(journal: Option<&Journal>, notes: &[Note]) -> Result<(), Fault> {
    let Some(journal) = journal.cloned() else { return Ok(()) };
    let notes = notes.to_vec();
    on_disk(move || journal.done(&notes)).await
}

/// Runs what blocks where it may.
async fn on_disk<T: Send + 'static>(what: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(what).await {
        Ok(result) => result,
        Err(panic) => Err(Fault::Damaged(Box::new(panic))),
    }
}

/// Which of those that may be in the logs are. What was tried a moment ago is kept apart by the log itself.
async fn known(bus: &Bus, notes: &[Note], now: Timestamp) -> HashSet<EventId> {
    let mut topics: HashMap<&TopicKey, (Timestamp, HashSet<EventId>)> = HashMap::new();
    let is_doubtful = |note: &&Note| match note.doubt {
        Doubt::None => false,
        Doubt::Tried => note.at < now.minus(MOMENT),
        Doubt::Inherited => true,
    };
    for note in notes.iter().filter(is_doubtful) {
        let (since, wanted) = topics.entry(&note.topic).or_insert_with(|| (note.at, HashSet::new()));
        *since = (*since).min(note.at);
        wanted.insert(note.event_id());
    }
    let mut known = HashSet::new();
    for (topic, (since, wanted)) in topics {
        known.extend(find(bus, topic, since, &wanted).await);
    }
    known
}

/// Appends notes that are due, by their places, to the logs of their topics; says how many of the first ones need not be
/// tried again.
async fn append(bus: &Bus, notes: &[Note], is_due: &(dyn Fn(usize) -> bool + Sync)) -> usize {
    let mut written = 0;
    for same in notes.chunk_by(|a, b| a.topic.tenant == b.topic.tenant) {
        let done = append_of_tenant(bus, same, &|at| is_due(written + at)).await;
        written += done;
        if done < same.len() {
            break;
        }
    }
    written
}

async fn append_of_tenant(bus: &Bus, notes: &[Note], is_due: &(dyn Fn(usize) -> bool + Sync)) -> usize {
    let is_wanted = |note: &Note| bus.policy(&note.topic.topic).presence.as_ref().is_some_and(|p| note.is_wanted(p));
    // Places in `notes` of what is to be appended.
    let mut places: Vec<usize> = (0..notes.len()).filter(|at| is_wanted(&notes[*at]) && is_due(*at)).collect();
    while !places.is_empty() {
        let batch = places.iter().map(|place| (notes[*place].topic.topic.clone(), notes[*place].draft())).collect();
        match bus.publish(&notes[places[0]].topic.tenant, batch).await {
            Ok(answers) => {
                for (place, answer) in places.iter().zip(answers) {
                    match answer {
                        Ok(_) => counter!(LOGGED, "outcome" => "stored").increment(1),
                        Err(error) if error.kind().retryable() => return *place,
                        Err(error) => refused(&notes[*place], &error),
                    }
                }
                break;
            }
            Err(batch) => refused(&notes[places.remove(batch.index)], &batch.error),
        }
    }
    notes.len()
}

/// One that the topic's policy does not take: another attempt would not help.
fn refused(note: &Note, error: &fanfare_bus::Error) {
    tracing::error!(topic = %note.topic.topic, happening = ?note.happening, error = %error, "not logged");
    counter!(LOGGED, "outcome" => "refused").increment(1);
}

/// Which of `wanted` are in the log of the topic, among what was appended since shortly before `since`.
async fn find(bus: &Bus, topic: &TopicKey, since: Timestamp, wanted: &HashSet<EventId>) -> HashSet<EventId> {
    let mut found = HashSet::new();
    let mut from = ReadFrom::Time(since.minus(LOOK_BACK));
    loop {
        let (limit, bytes_max) = PAGE;
        let read = Read { topic: topic.clone(), from, direction: Direction::Forward, limit, bytes_max, age_max: None };
        let page = match bus.read(read).await {
            Ok(page) => page,
            Err(error) => {
                // Then only the window of the log keeps them from being stored twice.
                tracing::warn!(topic = %topic.topic, error = %error, "the log could not be looked through");
                return found;
            }
        };
        let ids = page.events.iter().map(|event| &event.draft.id);
        found.extend(ids.filter(|id| wanted.contains(*id)).cloned());
        match page.events.last() {
            Some(last) if page.more && found.len() < wanted.len() => from = ReadFrom::Offset(last.offset + 1),
            _ => return found,
        }
    }
}
