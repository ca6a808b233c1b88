//! Which targets a delivery may reach: decided for URLs when they are stored, and for addresses when connected.
