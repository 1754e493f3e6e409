//! The screens of the console, a file each: what it shows as a struct, and the markup.

pub mod order;
pub mod orders;
pub mod overview;
