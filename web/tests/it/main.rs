//! The pages: over HTTP, and in a real browser.

mod actions;
mod browser;
mod console;
mod desk;
mod driver;
mod entrance;
mod faults;
mod graphiql;
mod keys;
mod orders;
mod shop;
mod visitor;
mod webhooks;
