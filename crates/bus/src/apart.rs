//! Taking apart what concerns topics that are kept from what concerns topics that are not, and joining the answers.

use std::future::Future;

/// Has the wanted items answered by `one` and the others by `other`, at the same time; the answers are in the order of the
/// items. Each must give as many answers as it got items; `missing` stands for one that is not there.
pub(crate) async fn answer<I, T, A, B>(
    items: Vec<I>,
    wanted: impl Fn(&I) -> bool,
    one: impl FnOnce(Vec<I>) -> A,
    other: impl FnOnce(Vec<I>) -> B,
    missing: impl Fn() -> T,
) -> Vec<T>
where
    A: Future<Output = Vec<T>>,
    B: Future<Output = Vec<T>>,
{
    let places: Vec<bool> = items.iter().map(&wanted).collect();
    let (ones, others): (Vec<_>, Vec<_>) = items.into_iter().partition(wanted);
    let (ones, others) = futures_util::future::join(one(ones), other(others)).await;
    let (mut ones, mut others) = (ones.into_iter(), others.into_iter());
    places.into_iter().map(|wanted| if wanted { ones.next() } else { others.next() }.unwrap_or_else(&missing)).collect()
}

/// The same where all of a half fail together.
pub(crate) async fn try_answer<I, T, E, A, B>(
    items: Vec<I>,
    wanted: impl Fn(&I) -> bool,
    one: impl FnOnce(Vec<I>) -> A,
    other: impl FnOnce(Vec<I>) -> B,
    missing: impl Fn() -> E,
) -> Result<Vec<T>, E>
where
    A: Future<Output = Result<Vec<T>, E>>,
    B: Future<Output = Result<Vec<T>, E>>,
{
    let places: Vec<bool> = items.iter().map(&wanted).collect();
    let (ones, others): (Vec<_>, Vec<_>) = items.into_iter().partition(wanted);
    let (ones, others) = futures_util::future::try_join(one(ones), other(others)).await?;
    let (mut ones, mut others) = (ones.into_iter(), others.into_iter());
    places.into_iter().map(|wanted| if wanted { ones.next() } else { others.next() }.ok_or_else(&missing)).collect()
}
