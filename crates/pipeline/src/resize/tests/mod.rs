//! Moving to another generation, on partitions in memory.

mod moving;
mod standing_by;
