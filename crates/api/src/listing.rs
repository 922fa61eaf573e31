//! Lists, page by page: how each is asked for, and how each says where it goes on.

use std::str::FromStr;

use fanfare_model::Invalid;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Options;
use crate::fault::Fault;
use crate::params::Params;

/// Which page of a list is asked for, by the parameters `after` and `limit`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing<T> {
    /// The item that the page begins after: `next` of the page before.
    pub(crate) after: Option<T>,
    /// The most items of the page.
    pub(crate) limit: usize,
}

impl<T: FromStr<Err = Invalid>> Listing<T> {
    pub(crate) fn of(params: &Params, options: &Options) -> Result<Self, Fault> {
        let limit = params.count("limit", options.page_max)?.unwrap_or(options.page_default);
        Ok(Self { after: params.parsed("after")?, limit })
    }
}

/// How a page says whether there are more, and where they begin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct End {
    /// Whether there may be more: go on with `after=<next>`.
    pub(crate) more: bool,
    /// Where to go on; absent if there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl End {
    /// `last` names the page's last item, as `after` takes it.
    pub(crate) fn new(more: bool, last: Option<String>) -> Self {
        let next = last.filter(|_| more);
        Self { more, next }
    }

    /// Of a list that says itself where it goes on.
    pub(crate) fn at(next: Option<String>) -> Self {
        Self { more: next.is_some(), next }
    }
}
