//! The pages: over HTTP, and in a real browser.

mod entrance;
mod orders;
mod shop;
mod visitor;
