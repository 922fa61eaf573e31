//! Records of consumers.

use fanfare_consumer::{
    Key, Lease, LeaseId, ListPage, ListQuery, Name, Progress, Stretch, Swap, Swapped, Version, Waiting,
};
use fanfare_model::{Gap, GapReason, Timestamp, TopicKey};
use fanfare_proto::engine as proto;

use super::{Malformed, count, position, to_count, to_name, to_position, to_tenant, to_topic, topic};

pub(crate) fn key(key: &Key) -> proto::CursorKey {
    let Key { tenant, consumer, topic: of } = key;
    let of = TopicKey::new(tenant.clone(), of.clone());
    proto::CursorKey { topic: Some(topic(&of)), consumer: consumer.as_str().to_owned() }
}

pub(crate) fn to_key(key: Option<&proto::CursorKey>) -> Result<Key, Malformed> {
    let key = key.ok_or(Malformed("consumer"))?;
    let TopicKey { tenant, topic } = to_topic(key.topic.as_ref())?;
    Ok(Key { tenant, consumer: to_consumer(&key.consumer)?, topic })
}

fn to_consumer(text: &str) -> Result<Name, Malformed> {
    Name::new(text).map_err(|_| Malformed("consumer"))
}

fn stretch(stretch: &Stretch) -> proto::Stretch {
    let Stretch { first, last, deliveries, gap } = *stretch;
    let gap = gap.map(|Gap { from, to, reason }| proto::Gap { from, to, reason: reason.as_str().to_owned() });
    proto::Stretch { first, last, deliveries, gap }
}

fn to_stretch(stretch: Option<proto::Stretch>) -> Result<Stretch, Malformed> {
    let proto::Stretch { first, last, deliveries, gap } = stretch.ok_or(Malformed("stretch"))?;
    let gap = gap.map(|gap| Ok(Gap { from: gap.from, to: gap.to, reason: to_reason(&gap.reason)? })).transpose()?;
    Ok(Stretch { first, last, deliveries, gap })
}

fn to_reason(word: &str) -> Result<GapReason, Malformed> {
    use GapReason::{Conflated, Epoch, Fork, Slow, Trimmed};
    let reasons = [Trimmed, Epoch, Fork, Slow, Conflated];
    reasons.into_iter().find(|reason| reason.as_str() == word).ok_or(Malformed("reason of a gap"))
}

fn progress(progress: &Progress) -> proto::Progress {
    let lease = |lease: &Lease| proto::CursorLease {
        id: lease.id.0,
        stretch: Some(stretch(&lease.stretch)),
        until: lease.until.as_micros(),
    };
    let waiting = |waiting: &Waiting| proto::Waiting {
        stretch: Some(stretch(&waiting.stretch)),
        due: waiting.due.map(Timestamp::as_micros),
    };
    proto::Progress {
        frontier: Some(position(progress.frontier)),
        leases: progress.leases.iter().map(lease).collect(),
        waiting: progress.waiting.iter().map(waiting).collect(),
        fence: progress.fence,
        moved_at: progress.moved_at.as_micros(),
    }
}

fn to_progress(progress: proto::Progress) -> Result<Progress, Malformed> {
    let lease = |lease: proto::CursorLease| {
        let until = Timestamp::from_micros(lease.until);
        Ok(Lease { id: LeaseId(lease.id), stretch: to_stretch(lease.stretch)?, until })
    };
    let waiting = |waiting: proto::Waiting| {
        Ok(Waiting { stretch: to_stretch(waiting.stretch)?, due: waiting.due.map(Timestamp::from_micros) })
    };
    Ok(Progress {
        frontier: to_position(progress.frontier)?,
        leases: progress.leases.into_iter().map(lease).collect::<Result<_, _>>()?,
        waiting: progress.waiting.into_iter().map(waiting).collect::<Result<_, _>>()?,
        fence: progress.fence,
        moved_at: Timestamp::from_micros(progress.moved_at),
    })
}

pub(crate) fn got(record: Option<&(Version, Progress)>) -> proto::GetCursorResponse {
    let record = record.map(|(version, of)| proto::Record { version: version.0, progress: Some(progress(of)) });
    proto::GetCursorResponse { record }
}

pub(crate) fn to_got(got: proto::GetCursorResponse) -> Result<Option<(Version, Progress)>, Malformed> {
    let record = |record: proto::Record| {
        let progress = to_progress(record.progress.ok_or(Malformed("progress"))?)?;
        Ok((Version(record.version), progress))
    };
    got.record.map(record).transpose()
}

pub(crate) fn swap(swap: &Swap) -> proto::SwapRequest {
    proto::SwapRequest {
        key: Some(key(&swap.key)),
        expected: swap.expected.map(|version| version.0),
        progress: swap.progress.as_ref().map(progress),
        commit: swap.commit,
    }
}

pub(crate) fn to_swap(swap: proto::SwapRequest) -> Result<Swap, Malformed> {
    Ok(Swap {
        key: to_key(swap.key.as_ref())?,
        expected: swap.expected.map(Version),
        progress: swap.progress.map(to_progress).transpose()?,
        commit: swap.commit,
    })
}

pub(crate) fn swapped(swapped: &Swapped) -> proto::SwapResponse {
    use proto::swap_response::What;
    let what = match swapped {
        Swapped::Done(version) => What::Done(version.0),
        Swapped::Conflict => What::Conflict(true),
        Swapped::Full => What::Full(true),
    };
    proto::SwapResponse { what: Some(what) }
}

pub(crate) fn to_swapped(swapped: &proto::SwapResponse) -> Result<Swapped, Malformed> {
    use proto::swap_response::What;
    match swapped.what {
        Some(What::Done(version)) => Ok(Swapped::Done(Version(version))),
        Some(What::Conflict(_)) => Ok(Swapped::Conflict),
        Some(What::Full(_)) => Ok(Swapped::Full),
        None => Err(Malformed("answer to a swap")),
    }
}

pub(crate) fn list(query: &ListQuery) -> proto::ListCursorsRequest {
    let after = query.after.as_ref().map(|(consumer, topic)| {
        key(&Key { tenant: query.tenant.clone(), consumer: consumer.clone(), topic: topic.clone() })
    });
    proto::ListCursorsRequest {
        tenant: query.tenant.as_str().to_owned(),
        consumer: query.consumer.as_ref().map(|name| name.as_str().to_owned()),
        topic: query.topic.as_ref().map(|topic| topic.as_str().to_owned()),
        after,
        limit: count(query.limit),
    }
}

pub(crate) fn to_list(query: &proto::ListCursorsRequest) -> Result<ListQuery, Malformed> {
    let after = query.after.as_ref().map(|after| to_key(Some(after)).map(|key| (key.consumer, key.topic)));
    Ok(ListQuery {
        tenant: to_tenant(&query.tenant)?,
        consumer: query.consumer.as_deref().map(to_consumer).transpose()?,
        topic: query.topic.as_deref().map(to_name).transpose()?,
        after: after.transpose()?,
        limit: to_count(query.limit),
    })
}

pub(crate) fn page(page: &ListPage) -> proto::ListCursorsResponse {
    let records =
        page.records.iter().map(|(of, at)| proto::KeyedProgress { key: Some(key(of)), progress: Some(progress(at)) });
    proto::ListCursorsResponse { records: records.collect(), more: page.more }
}

pub(crate) fn to_page(page: proto::ListCursorsResponse) -> Result<ListPage, Malformed> {
    let record = |record: proto::KeyedProgress| {
        let progress = to_progress(record.progress.ok_or(Malformed("progress"))?)?;
        Ok((to_key(record.key.as_ref())?, progress))
    };
    Ok(ListPage { records: page.records.into_iter().map(record).collect::<Result<_, _>>()?, more: page.more })
}
