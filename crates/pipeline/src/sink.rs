//! Where stages write, so that their tests need no brokers.

pub use postrider_kafka::Sink;

#[cfg(test)]
mod fake;

#[cfg(test)]
pub(crate) use fake::FakeSink;
