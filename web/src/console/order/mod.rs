//! The page of an order: what happens next and what staff may do about it, then everything that is known.

pub mod act;
mod history;
pub mod load;
mod next;
mod rail;
pub mod shown;
pub mod view;
mod work;
