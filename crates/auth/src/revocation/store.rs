//! The revocations that are known, and the file in which they outlive the process.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fanfare_model::{Tenant, Timestamp, UserId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::file::{Content, RevocationsFile};
use super::table::Table;
use super::{Revocation, RevocationChange, Revoked, RevokedPage};
use crate::Error;
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::state_file::Stamp;

pub(crate) struct Store {
    max: usize,
    /// The longest that a token can be good for after it was issued, the clocks' difference included.
    longest: Duration,
    file: Option<RevocationsFile>,
    /// Held while the table is being changed.
    changing: Mutex<Changing>,
    table: ArcSwap<Table>,
    generation: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Changing {
    /// The state of the file that the table was made from.
    stamp: Option<Stamp>,
    /// What is in force here but could not be written.
    unwritten: Table,
}

impl Store {
    pub(crate) fn open(
        file: Option<RevocationsFile>,
        max: usize,
        longest: Duration,
        generation: Arc<watch::Sender<u64>>,
    ) -> Result<Self, Error> {
        let (content, stamp) = match &file {
            Some(file) => file.read()?,
            None => (Content::default(), None),
        };
        let changing = Mutex::new(Changing { stamp, unwritten: Table::default() });
        Ok(Self { max, longest, file, changing, table: ArcSwap::from_pointee(content.table()), generation })
    }

    /// Refuses `principal` if its token, or its user, was revoked.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Refusal> {
        self.table.load().check(principal)
    }

    pub(crate) fn page(&self, tenant: &Tenant, after: Option<&str>, limit: usize) -> RevokedPage {
        self.table.load().page(tenant, after, limit)
    }

    /// Whether there is a file in which they are kept.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the user is blocked.
    pub(crate) fn is_blocked(&self, tenant: &Tenant, user: &UserId) -> bool {
        let block = Revocation::Block { tenant: tenant.clone(), user: user.clone() };
        self.table.load().holds(&block)
    }

    /// Everything that is in force.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<Revoked> {
        let in_force = |revoked: &Revoked| revoked.until.is_none_or(|until| until > now);
        self.table.load().all().filter(in_force).collect()
    }

    /// Takes over what another node has done, or this one before. What is revoked is in force, whatever there is room for.
    pub(crate) fn learn(&self, change: &RevocationChange, now: Timestamp) {
        let _changing = self.changing.lock();
        let known = self.table.load();
        match change {
            RevocationChange::Revoked(revoked) => {
                if revoked.until.is_some_and(|until| until <= now) || known.covers(revoked) {
                    return;
                }
                let mut table = Table::clone(&known);
                if table.len() >= self.max {
                    table.forget_ended(now);
                }
                table.add(revoked);
                self.publish(table);
            }
            RevocationChange::Unblocked { tenant, user, .. } => {
                let mut table = Table::clone(&known);
                if table.unblock(tenant, user) {
                    // Nobody must go because of that.
                    self.table.store(Arc::new(table));
                }
            }
        }
    }

    /// Keeps in the file what was kept elsewhere, as it is there, whatever there is room for.
    pub(crate) fn take_over(&self, revoked: &[Revoked], now: Timestamp) -> Result<(), Error> {
        let mut changing = self.changing.lock();
        for revoked in revoked {
            changing.unwritten.add(revoked);
        }
        self.write(&mut changing, now, |_| ())
    }

    /// Revokes, and says what is kept of it.
    pub(crate) fn revoke(&self, revocation: Revocation, now: Timestamp) -> Result<Revoked, Error> {
        let until = match &revocation {
            Revocation::Token { .. } => Some(now.plus(self.longest)),
            Revocation::UserTokens { issued_before, .. } if *issued_before > now => {
                return Err(Error::Invalid("issued_before is in the future; block the user instead".to_owned()));
            }
            Revocation::UserTokens { issued_before, .. } => Some(issued_before.plus(self.longest)),
            Revocation::Block { .. } => None,
        };
        let revoked = Revoked { revocation, at: now, until };
        let mut changing = self.changing.lock();
        // At once here, whatever the disk says.
        let mut table = Table::clone(&self.table.load());
        self.add(&mut table, &revoked, now)?;
        self.publish(table);
        if self.file.is_some() {
            changing.unwritten.forget_ended(now);
            changing.unwritten.add(&revoked);
            self.write(&mut changing, now, |_| ())?;
        }
        Ok(revoked)
    }

    pub(crate) fn unblock(&self, tenant: &Tenant, user: &UserId, now: Timestamp) -> Result<(), Error> {
        let mut changing = self.changing.lock();
        let mut table = Table::clone(&self.table.load());
        let mut was_blocked = table.unblock(tenant, user);
        if self.file.is_some() {
            changing.unwritten.unblock(tenant, user);
            // Another process may have blocked the user a moment ago.
            self.write(&mut changing, now, |table| was_blocked |= table.unblock(tenant, user))?;
        } else {
            self.table.store(Arc::new(table));
        }
        if was_blocked { Ok(()) } else { Err(Error::NotFound(format!("the user `{user}` is not blocked"))) }
    }

    /// Reads the file again if another process has changed it, and forgets what concerns no token any more; whether
    /// the file had changed.
    pub(crate) fn reload(&self, now: Timestamp) -> Result<bool, Error> {
        let mut changing = self.changing.lock();
        if self.table.load().has_ended(now) {
            let mut table = Table::clone(&self.table.load());
            table.forget_ended(now);
            // Nobody must go because of that.
            self.table.store(Arc::new(table));
        }
        let Some(file) = &self.file else { return Ok(false) };
        if file.stamp()? == changing.stamp {
            return Ok(false);
        }
        let (content, stamp) = file.read()?;
        let mut table = content.table();
        changing.unwritten.all().for_each(|revoked| table.add(&revoked));
        table.forget_ended(now);
        changing.stamp = stamp;
        self.publish(table);
        Ok(true)
    }

    /// Changes the file, on top of what other processes have written, and makes what it says then the truth.
    fn write(&self, changing: &mut Changing, now: Timestamp, change: impl FnOnce(&mut Table)) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let lock = file.lock()?;
        let mut table = file.read()?.0.table();
        changing.unwritten.all().for_each(|revoked| table.add(&revoked));
        change(&mut table);
        table.forget_ended(now);
        changing.stamp = file.replace(&Content::of(&table), &lock)?;
        changing.unwritten = Table::default();
        self.publish(table);
        Ok(())
    }

    /// Adds to `table` if there is room.
    fn add(&self, table: &mut Table, revoked: &Revoked, now: Timestamp) -> Result<(), Error> {
        if table.len() >= self.max {
            table.forget_ended(now);
        }
        if table.len() >= self.max && !table.holds(&revoked.revocation) {
            return Err(Error::TooManyRevocations(self.max));
        }
        table.add(revoked);
        Ok(())
    }

    fn publish(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.generation.send_modify(|generation| *generation += 1);
    }
}
