//! What a handler may ask for as a parameter. Asking for it requires it.

pub mod etag;
pub mod idempotent;
pub mod json;
pub mod principal;
pub mod scope;
