//! Analytics: windows over the counts of deliveries, and what is read from them.

mod csv;
mod objective;
mod read;
mod window;

pub use csv::Csv;
pub use objective::{BURN_WINDOWS, Objective, Standing};
pub use read::{Point, by_event_type, failing, series, total};
pub use window::{MAX_POINTS, Window, WindowError};
