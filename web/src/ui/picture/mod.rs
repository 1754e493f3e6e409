//! Product pictures: a printed label, drawn from category and SKU. The same product always has the same one, so
//! nothing is stored and nothing is licensed.

mod motif;
mod palette;
mod part;
mod shapes;

use maud::{Markup, html};

use self::palette::Palette;

/// The label of a product. Decoration: the name stands beside it.
pub fn picture(sku: &str, category: &str) -> Markup {
    let seed = hash(sku);
    let colours = Palette::of(sku, category, seed);
    html! {
        svg class="picture" viewBox="0 0 320 320" aria-hidden="true" focusable="false" {
            rect width="320" height="320" fill=(colours.paper) {}
            (motif::draw(sku, seed, colours))
            g class="label" fill=(colours.ink) {
                text x="20" y="32" { (category.to_uppercase()) }
                text x="300" y="32" text-anchor="end" class="serial" { "No. " (serial(seed)) }
            }
            path d="M20 42.5H300" stroke=(colours.ink) stroke-width="1" opacity=".35" {}
        }
    }
}

/// Without words, for lines of a cart or an order.
pub fn thumbnail(sku: &str, category: &str) -> Markup {
    let seed = hash(sku);
    let colours = Palette::of(sku, category, seed);
    html! {
        svg class="thumbnail" viewBox="40 60 240 240" width="40" height="40" aria-hidden="true" focusable="false" {
            rect x="40" y="60" width="240" height="240" fill=(colours.paper) {}
            (motif::draw(sku, seed, colours))
        }
    }
}

/// FNV-1a: short, and the same in every release.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn serial(seed: u64) -> String {
    format!("{:03}", (seed >> 20) % 1_000)
}

#[cfg(test)]
mod tests {
    use super::picture;

    #[test]
    fn a_product_always_has_the_same_picture_and_others_have_another() {
        let one = picture("MUG-STONE-350", "Mugs & Cups").into_string();
        assert_eq!(one, picture("MUG-STONE-350", "Mugs & Cups").into_string());
        assert_ne!(one, picture("MUG-FOREST-350", "Mugs & Cups").into_string());
        assert!(picture("<script>", "<b>").into_string().contains("&lt;B&gt;"));
    }
}
