//! Pictures of products, drawn from the SKU: no storage, no licences. The same product always looks the same.

use maud::{Markup, html};

/// Shapes that read as goods on a shelf.
const SHAPES: [&str; 8] = [
    // a mug
    "M30 34h34v34a6 6 0 0 1-6 6H36a6 6 0 0 1-6-6zM64 42h6a8 8 0 0 1 0 18h-6",
    // a bottle
    "M43 22h14v12l7 10v28a4 4 0 0 1-4 4H40a4 4 0 0 1-4-4V44l7-10zM36 54h28",
    // a book
    "M30 26h34a4 4 0 0 1 4 4v44H34a4 4 0 0 1-4-4zM30 66h38M42 38h16",
    // a lamp
    "M38 26h24l8 24H30zM50 50v22M38 74h24",
    // a chair
    "M36 24v28h28V24M36 52v22M64 52v22M36 60h28",
    // a bag
    "M30 40h40l4 34H26zM40 40v-6a10 10 0 0 1 20 0v6",
    // a clock
    "M50 26a24 24 0 1 0 0 48 24 24 0 0 0 0-48M50 36v14l9 6",
    // a plant
    "M38 58h24l-4 18H42zM50 58V36M50 44c-12 0-14-8-14-12 10 0 14 6 14 12M50 40c10 0 13-8 13-14-9 1-13 7-13 14",
];

/// `large` for the product's own page.
pub fn product(sku: &str, name: &str, large: bool) -> Markup {
    let seed = sku.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    let shape = shape_of(name).unwrap_or(SHAPES[seed as usize % SHAPES.len()]);
    let hue = seed / 8 % 12;
    html! {
        svg class={ "picture hue-" (hue) @if large { " large" } } viewBox="0 0 100 100" role="img" aria-label=(name) {
            rect width="100" height="100" {}
            path d=(shape) {}
        }
    }
}

/// Where the name says what the thing is.
fn shape_of(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let at = if has(&["mug", "cup", "tea"]) {
        0
    } else if has(&["bottle", "oil", "jar", "flask"]) {
        1
    } else if has(&["book", "note", "paper", "print"]) {
        2
    } else if has(&["lamp", "light", "candle"]) {
        3
    } else if has(&["chair", "stool", "bench", "table"]) {
        4
    } else if has(&["bag", "tote", "pack", "basket"]) {
        5
    } else if has(&["clock", "watch", "timer"]) {
        6
    } else if has(&["plant", "pot", "seed", "garden"]) {
        7
    } else {
        return None;
    };
    Some(SHAPES[at])
}
