//! The roles: what each needs, and how it is put together.

mod control_plane;
mod data_plane;
mod parts;
mod sources;

pub use parts::{Parts, start};
pub use sources::{replay_source, schemas, sources};
