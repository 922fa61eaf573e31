//! The cursors of named consumers, which hold positions.

use fanfare_consumer::{Cursors, Key, ListQuery, Progress, Swap, Swapped};
use fanfare_model::Tenant;

use crate::failure::{Code, Failure};
use crate::serve::engine::Kept;

/// How many records are listed at a time.
const RECORDS_MAX: usize = 1000;

/// Writes every record that is there to where it shall be; says how many.
pub(super) async fn copy(from: &Kept, to: &Kept, tenants: &[Tenant]) -> Result<u64, Failure> {
    let mut count = 0;
    for tenant in tenants {
        let mut after = None;
        loop {
            let query = ListQuery { tenant: tenant.clone(), consumer: None, topic: None, after, limit: RECORDS_MAX };
            let page = from.cursors.list(query).await.map_err(failed)?;
            after = page.records.last().map(|(key, _)| (key.consumer.clone(), key.topic.clone()));
            for (key, progress) in page.records {
                put(&*to.cursors, key, progress).await?;
                count += 1;
            }
            if !page.more || after.is_none() {
                break;
            }
        }
    }
    Ok(count)
}

async fn put(to: &dyn Cursors, key: Key, progress: Progress) -> Result<(), Failure> {
    let swap = |expected| Swap { key: key.clone(), expected, progress: Some(progress.clone()), commit: true };
    let mut expected = None;
    // A second move finds what the first has written.
    for _ in 0..2 {
        match to.swap(swap(expected)).await.map_err(failed)? {
            Swapped::Done(_) => return Ok(()),
            Swapped::Conflict => expected = to.get(&key).await.map_err(failed)?.map(|(version, _)| version),
            Swapped::Full => break,
        }
    }
    let (consumer, topic) = (key.consumer.as_str(), &key.topic);
    let text = format!(
        "the consumer `{consumer}` of `{topic}` cannot be written; raise consumers.consumers_max, or stop whoever uses it"
    );
    Err(Failure::new(Code::MoveFailed, text))
}

fn failed(error: fanfare_consumer::Error) -> Failure {
    Failure::because(Code::MoveFailed, "the cursors of consumers cannot be moved", error)
}
