//! Pages of sessions of several nodes as one page.

use fanfare_cluster::NodeId;
use fanfare_model::SessionId;

use crate::{SessionInfo, SessionPage};

/// About the most bytes of one node's page: what is said between nodes is one message, which some engines bound at a
/// megabyte.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// What a session has beside its texts, as JSON, at most.
const STRUCTURE_BYTES: usize = 256;

/// As much of a page as fits in one message, and at least one session.
pub(super) fn fitting(mut page: SessionPage) -> SessionPage {
    let mut bytes = 0;
    let fit = page.sessions.iter().take_while(|info| {
        let had = bytes;
        bytes += size(info);
        had == 0 || bytes <= PAGE_BYTES_MAX
    });
    let count = fit.count();
    page.more |= count < page.sessions.len();
    page.sessions.truncate(count);
    page
}

fn size(info: &SessionInfo) -> usize {
    let texts = [
        info.id.as_str(),
        info.tenant.as_str(),
        info.user.as_ref().map_or("", |user| user.as_str()),
        info.client.as_deref().unwrap_or_default(),
    ];
    // Some characters take six bytes as JSON, but those are not in names.
    STRUCTURE_BYTES + 2 * texts.iter().map(|text| text.len()).sum::<usize>()
}

/// The first `limit` sessions of all pages, which are in order and begin at the same place.
pub(super) fn merge(
    pages: impl Iterator<Item = (NodeId, SessionPage)>,
    limit: usize,
) -> SessionPage<(NodeId, SessionInfo)> {
    let (mut merged, mut total, mut more) = (Vec::new(), 0, false);
    // How far every page reaches.
    let mut until: Option<SessionId> = None;
    for (node, page) in pages {
        total += page.total;
        more |= page.more;
        if page.more {
            let last = page.sessions.last().map(|info| info.id.clone());
            until = match (until, last) {
                (Some(until), Some(last)) => Some(until.min(last)),
                (until, last) => until.or(last),
            };
        }
        merged.extend(page.sessions.into_iter().map(|info| (node.clone(), info)));
    }
    if let Some(until) = until {
        merged.retain(|(_, info)| info.id <= until);
    }
    // A session that went on with another node is there twice as long as the earlier connection is not given up.
    merged.sort_by(|(_, a), (_, b)| (&a.id, b.connected_at).cmp(&(&b.id, a.connected_at)));
    merged.dedup_by(|(_, later), (_, earlier)| later.id == earlier.id);
    more |= merged.len() > limit;
    merged.truncate(limit);
    SessionPage { sessions: merged, total, more }
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Tenant, Timestamp};

    use super::*;
    use crate::Protocol;

    fn info(id: &str, connected_at: i64) -> SessionInfo {
        SessionInfo {
            id: SessionId::new(id).unwrap(),
            tenant: Tenant::default(),
            user: None,
            protocol: Protocol::Sse,
            connected_at: Timestamp::from_seconds(connected_at),
            expires_at: None,
            address: None,
            client: None,
        }
    }

    fn page(ids: &[&str], more: bool) -> (NodeId, SessionPage) {
        let sessions: Vec<_> = ids.iter().map(|id| info(id, 0)).collect();
        (NodeId::generate(), SessionPage { total: sessions.len(), sessions, more })
    }

    fn ids<T>(page: &SessionPage<(T, SessionInfo)>) -> Vec<&str> {
        page.sessions.iter().map(|(_, info)| info.id.as_str()).collect()
    }

    #[test]
    fn sessions_of_all_nodes_are_in_order() {
        let merged = merge([page(&["a", "d"], false), page(&["b", "c"], false)].into_iter(), 10);
        assert_eq!((ids(&merged), merged.total, merged.more), (vec!["a", "b", "c", "d"], 4, false));
        let merged = merge([page(&["a", "d"], false), page(&["b", "c"], false)].into_iter(), 3);
        assert_eq!((ids(&merged), merged.total, merged.more), (vec!["a", "b", "c"], 4, true));
    }

    #[test]
    fn a_page_ends_where_the_first_of_them_ends() {
        // After `b` there is more on the first node, which may be before `c`.
        let merged = merge([page(&["a", "b"], true), page(&["c", "d"], false)].into_iter(), 10);
        assert_eq!((ids(&merged), merged.more), (vec!["a", "b"], true));
    }

    #[test]
    fn a_session_that_moved_is_where_it_came_last() {
        let (old, new) = (NodeId::generate(), NodeId::generate());
        let of = |at| SessionPage { sessions: vec![info("s", at)], total: 1, more: false };
        let merged = merge([(old, of(1)), (new.clone(), of(2))].into_iter(), 10);
        assert_eq!(merged.sessions.len(), 1);
        assert_eq!(merged.sessions[0].0, new);
    }

    #[test]
    fn a_page_fits_in_a_message() {
        let long = |n: usize| SessionInfo { client: Some("c".repeat(4096).into()), ..info(&format!("{n:04}"), 0) };
        let page = SessionPage { sessions: (0..1000).map(long).collect(), total: 1000, more: false };
        let fit = fitting(page.clone());
        assert!(fit.more && !fit.sessions.is_empty());
        assert!(serde_json::to_vec(&fit).unwrap().len() <= PAGE_BYTES_MAX);
        let small = SessionPage { sessions: page.sessions[..2].to_vec(), ..page };
        assert!(!fitting(small).more);
    }
}
