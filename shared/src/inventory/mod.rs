//! Stock: what is on the shelves and what of it is promised to somebody.

pub mod source;
