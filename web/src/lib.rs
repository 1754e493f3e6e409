//! The pages of Millrace: the console for staff and the shop for customers, rendered from plain data to HTML.
//!
//! A page is a function from a struct to markup; it asks nothing and writes nothing. Class names live in `ui` and
//! `page` only, so that two pages cannot drift apart.

pub mod assets;
pub mod console;
pub mod page;
pub mod reader;
pub mod shop;
pub mod ui;
