//! Pages of lists.

use fanfare_model::Invalid;

use crate::Options;
use crate::fault::Fault;

/// The items of a page whose client does not say how many.
const LIMIT: usize = 100;

/// How many items a page has: 0 stands for 100.
pub(crate) fn limit(asked: u32, options: &Options) -> Result<usize, Fault> {
    let most = options.page_max;
    match asked as usize {
        0 => Ok(LIMIT.min(most)),
        limit if limit <= most => Ok(limit),
        limit => Err(Fault::field("limit", format_args!("is {limit}; it may be 1 to {most}"))),
    }
}

/// A text that may be missing, as what it stands for. In protobuf an empty text and none are the same.
pub(crate) fn given<T: std::str::FromStr<Err = Invalid>>(field: &str, text: &str) -> Result<Option<T>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid: Invalid| Fault::field(field, invalid))
}

/// A text that must be there.
pub(crate) fn needed<T: std::str::FromStr<Err = Invalid>>(field: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|invalid: Invalid| Fault::field(field, invalid))
}
