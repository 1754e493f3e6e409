//! The pages: over HTTP, and in a real browser.

mod console;
mod entrance;
mod orders;
mod shop;
mod visitor;
