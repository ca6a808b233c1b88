//! `postrider sources`: how the records of sources would be understood.

mod catalogue;
mod check;
mod read;
mod show;

pub use check::run;
