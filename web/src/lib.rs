//! The pages of Millrace: the console for staff and the shop for customers, rendered from plain data to HTML.
//!
//! A page is a function from a struct to markup; it asks nothing and writes nothing. Beside it stands its handler, which
//! asks `shared` and fills the struct. Class names live in `ui` and `page` only, so that two pages cannot drift apart.

pub mod answer;
pub mod assets;
pub mod console;
pub mod cookies;
pub mod csrf;
pub mod form;
pub mod page;
pub mod reader;
pub mod routes;
pub mod shop;
pub mod signing;
pub mod state;
pub mod ui;
pub mod visit;
