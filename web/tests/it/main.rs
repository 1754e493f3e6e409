//! The pages over HTTP: who sees them, what their forms do, what they look like to a hostile text. And one purchase and
//! one repair in a real browser.

mod browser;
mod console;
mod contrast;
mod render;
#[path = "../../examples/gallery/sample.rs"]
mod sample;
mod session;
mod shop;
mod surface;
mod tab;
