//! Which subscriptions an event could match, without looking at all of them.
//!
//! A subscription stands in a bucket for each of its patterns: tenant and pattern. The buckets of an event are those
//! of its tenant with its type, with each prefix that ends at one of the type's dots, and with `*`. Within its bucket, a
//! subscription whose filter can hold only if some field is equal to a value (its predicate) is found by that field and
//! value; the others of the bucket are always candidates, and no index helps them. A field that several subscriptions of
//! a bucket ask for is looked up once for each event, and the event's JSON is parsed only if one of them is in it.
//!
//! No edit takes time that grows with the number of subscriptions: its maps are [`Sharded`](crate::sharded::Sharded).

mod list;
mod names;
mod predicate;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use subscriptions::SubscriptionIndex;
