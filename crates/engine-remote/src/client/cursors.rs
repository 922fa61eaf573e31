//! The hub's cursors of consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Progress, Swap, Swapped, Version};

use super::link::Link;
use crate::metrics::Service;
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

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl Cursors for RemoteCursors {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn survives_restart(&self) -> bool {
        self.survives_restart
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.check_open()?;
        let mut cursors = self.link.cursors();
        let got = self.link.answer(Service::Cursors, cursors.get(form::key(key))).await.map_err(cursor_error)?;
        Ok(form::to_got(got)?)
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.check_open()?;
        let mut cursors = self.link.cursors();
        let swapped = self.link.answer(Service::Cursors, cursors.swap(form::swap(&swap))).await;
        Ok(form::to_swapped(&swapped.map_err(cursor_error)?)?)
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.check_open()?;
        let mut cursors = self.link.cursors();
        let page = self.link.answer(Service::Cursors, cursors.list(form::list(&query))).await.map_err(cursor_error)?;
        Ok(form::to_page(page)?)
    }

    /// The hub closes its store itself.
    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
