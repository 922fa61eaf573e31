//! Lists.

use super::{Bench, at, cases, key};
use crate::{Key, ListPage, ListQuery};

cases! {
    a_list_is_in_order_and_in_pages,
    a_list_can_be_narrowed,
}

fn all(tenant: &str) -> ListQuery {
    ListQuery { tenant: key(tenant, "a", "a").tenant, consumer: None, topic: None, after: None, limit: 100 }
}

fn keys(page: &ListPage) -> Vec<Key> {
    page.records.iter().map(|(key, _)| key.clone()).collect()
}

impl Bench {
    async fn list(&self, query: ListQuery) -> ListPage {
        self.cursors.list(query).await.expect("the list is read")
    }

    async fn fill(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (consumer, topic) in
            [("b", "z"), ("a.1", "jobs"), ("a", "news"), ("a", "jobs:2"), ("a", "jobs"), ("B", "a")]
        {
            keys.push(key("t", consumer, topic));
            self.put(&keys[keys.len() - 1], None, Some(at(keys.len() as u64))).await;
        }
        self.put(&key("s", "a", "jobs"), None, Some(at(1))).await;
        self.put(&key("tt", "a", "jobs"), None, Some(at(1))).await;
        keys.sort();
        keys
    }
}

async fn a_list_is_in_order_and_in_pages(bench: Bench) {
    let filled = bench.fill().await;
    let whole = bench.list(all("t")).await;
    assert_eq!((keys(&whole), whole.more), (filled.clone(), false));
    for limit in 1..=6 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = bench.list(ListQuery { after, limit, ..all("t") }).await;
            assert!(page.records.len() <= limit);
            found.extend(page.records.iter().cloned());
            after = page.records.last().map(|(key, _)| (key.consumer.clone(), key.topic.clone()));
            if !page.more {
                break;
            }
            assert_eq!(page.records.len(), limit, "a page with more after it is full");
        }
        assert_eq!(found, whole.records, "in pages of {limit}");
    }
    assert!(bench.list(all("nobody")).await.records.is_empty());
}

async fn a_list_can_be_narrowed(bench: Bench) {
    let filled = bench.fill().await;
    for (consumer, topic, expected) in [(Some("a"), None, 3), (None, Some("jobs"), 2), (Some("a"), Some("jobs"), 1)] {
        let consumer = consumer.map(|consumer| key("t", consumer, "x").consumer);
        let topic = topic.map(|topic| key("t", "x", topic).topic);
        let is = |key: &Key| {
            consumer.as_ref().is_none_or(|wanted| *wanted == key.consumer)
                && topic.as_ref().is_none_or(|wanted| *wanted == key.topic)
        };
        let wanted: Vec<Key> = filled.iter().filter(|key| is(key)).cloned().collect();
        assert_eq!(wanted.len(), expected);
        let query = ListQuery { consumer: consumer.clone(), topic: topic.clone(), ..all("t") };
        let page = bench.list(query.clone()).await;
        assert_eq!((keys(&page), page.more), (wanted, false));
        let first = bench.list(ListQuery { limit: 1, ..query }).await;
        assert_eq!((first.records.len(), first.more), (1, expected > 1), "more of those asked for");
    }
}
