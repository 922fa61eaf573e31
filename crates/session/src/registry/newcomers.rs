//! Sessions of other nodes that take the place of this node's, and the other way round.

use std::cmp::Ordering;

use tokio::sync::mpsc::Sender;

use super::{Registry, SessionInfo};
use crate::Goodbye;
use crate::everywhere::Newcomer;

impl Registry {
    /// Whoever takes another's place from now on is told of to `sender`. Whether it is the first.
    pub(crate) fn tell_newcomers_to(&self, sender: Sender<Newcomer>) -> bool {
        self.inner.newcomers.set(sender).is_ok()
    }

    /// The other nodes are to know of a session that takes the place of others, if it is one.
    pub(super) fn tell_of(&self, info: &SessionInfo, resumes: bool) {
        let newcomer = Newcomer::of(info, resumes, self.inner.options.single_per_user);
        if let (Some(sender), Some(newcomer)) = (self.inner.newcomers.get(), newcomer)
            && sender.try_send(newcomer).is_err()
        {
            tracing::warn!("other nodes are not told of a session that takes another's place: too many wait");
        }
    }

    /// Ends the sessions whose place a session of another node takes. Of one that came later than that, the other node is
    /// told in turn.
    pub(crate) fn make_place_for(&self, newcomer: &Newcomer) {
        let table = self.inner.table.lock();
        let same = table.by_id.get(newcomer.session());
        let user = newcomer.user().and_then(|user| table.by_user.get(&(newcomer.tenant().clone(), user.clone())));
        for key in same.into_iter().chain(user.into_iter().flatten()) {
            let entry = &table.sessions[*key];
            let mut details = entry.details.lock();
            match newcomer.against(&details.info) {
                Some(Ordering::Less) => {
                    // Where it is a member it stays one: the other node holds it there from now on.
                    details.moved |= details.info.id == *newcomer.session();
                    entry.bell.end(Goodbye::Replaced);
                }
                Some(Ordering::Greater) => self.tell_of(&details.info, details.info.id == *newcomer.session()),
                Some(Ordering::Equal) | None => {}
            }
        }
    }
}
