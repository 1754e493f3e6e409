//! The screens of the shop, a file each: what it shows as a struct, and the markup.

pub mod home;
pub mod order;
pub mod product;
