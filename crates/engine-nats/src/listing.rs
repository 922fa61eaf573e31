//! Lists of topics: the subjects that streams hold.

use std::collections::BTreeSet;

use fanfare_history::TopicsQuery;
use fanfare_model::Topic;

use crate::classes::{Classes, topic_of};
use crate::error::Fault;
use crate::link::Link;
use crate::{stream, token};

/// The topics asked for, and whether there are more.
pub(crate) async fn topics(link: &Link, classes: &Classes, query: &TopicsQuery) -> Result<(Vec<Topic>, bool), Fault> {
    let mut found = BTreeSet::new();
    for class in classes.all().iter().filter(|class| !class.passing) {
        let filter = format!("{}{}.>", class.subject, token::of(query.tenant.as_str()));
        for (subject, _) in stream::subjects(link, &class.stream.name, &filter).await? {
            let Some(key) = subject.strip_prefix(&class.subject).and_then(topic_of) else { continue };
            let topic = key.topic;
            // What is left of a kind that moved to another stream is not of this topic's log.
            let wanted = !topic.is_hidden()
                && topic.as_str().starts_with(&query.prefix)
                && query.after.as_ref().is_none_or(|after| topic > *after)
                && classes.of(&topic).index == class.index;
            if wanted {
                found.insert(topic);
                if found.len() > query.limit.saturating_add(1) {
                    found.pop_last();
                }
            }
        }
    }
    let more = found.len() > query.limit;
    Ok((found.into_iter().take(query.limit).collect(), more))
}
