//! The screens of the shop, a file each: what it shows as a struct, and the markup.

pub mod account;
pub mod basket;
pub mod cart;
pub mod checkout;
pub mod frame;
pub mod home;
pub mod orders;
pub mod product;
pub mod track;
