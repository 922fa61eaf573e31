//! The hub's cursors of consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Progress, Swap, Swapped, Version};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::link::Link;
use crate::metrics::Service;
use crate::wire::Malformed;
use crate::wire::cursors as form;
use crate::wire::refusal::cursor_error;

pub(super) struct RemoteCursors {
    link: Arc<Link>,
    survives_restart: bool,
    closed: AtomicBool,
}

impl RemoteCursors {
    pub(super) fn new(link: Arc<Link>, survives_restart: bool) -> Self {
        Self { link, survives_restart, closed: AtomicBool::new(false) }
    }

    /// `call`, unless this is closed.
    fn unless_closed<'a, T: Send + 'a>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        if self.closed.load(Ordering::Acquire) { ready(Err(Error::Closed)).boxed() } else { call.boxed() }
    }
}

fn malformed(malformed: Malformed) -> Error {
    Error::Unavailable(malformed.into())
}

impl Cursors for RemoteCursors {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn survives_restart(&self) -> bool {
        self.survives_restart
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<(Version, Progress)>, Error>> {
        let request = form::key(key);
        self.unless_closed(async move {
            let mut cursors = self.link.cursors();
            let got = self.link.answer(Service::Cursors, cursors.get(request)).await.map_err(cursor_error)?;
            form::to_got(got).map_err(malformed)
        })
    }

    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, Error>> {
        self.unless_closed(async move {
            let mut cursors = self.link.cursors();
            let request = form::swap(&swap);
            let swapped = self.link.answer(Service::Cursors, cursors.swap(request)).await.map_err(cursor_error)?;
            form::to_swapped(&swapped).map_err(malformed)
        })
    }

    fn list(&self, query: ListQuery) -> BoxFuture<'_, Result<ListPage, Error>> {
        self.unless_closed(async move {
            let mut cursors = self.link.cursors();
            let request = form::list(&query);
            let page = self.link.answer(Service::Cursors, cursors.list(request)).await.map_err(cursor_error)?;
            form::to_page(page).map_err(malformed)
        })
    }

    /// The hub closes its store itself.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        ready(Ok(())).boxed()
    }
}
