//! What a label shows: a thing of the SKU's kind, in flat shapes. An unknown kind gets a pattern of quarter circles.

use maud::{Markup, html};

use super::palette::Palette;
use super::part::Paint::{self, Body, Ink, Light, Shade, Spot};
use super::part::Part;
use super::shapes::{
    BAG, BASKET, BOARD, BOTTLE, BOWL, CARTON, CHEST, CUPS, DRIPPER, FLASK, GRINDER, JAR, JUG, KETTLE, KNIFE, LOAF,
    MOKA, MUG, PAN, PIN, PLATE, POT, PRESS, SCALE, SCRAPER, TEAPOT, TIN, TOOLS, TOWEL, TRAY,
};

/// The first kind whose word is in the SKU is drawn, so special words come before common ones.
const KINDS: &[(&str, &[Part])] = &[
    ("BEAN", BAG),
    ("DESCALER", BOTTLE),
    ("BRUSH", TOOLS),
    ("POUROVER", DRIPPER),
    ("SERVER", JUG),
    ("COLD", JUG),
    ("PITCHER", JUG),
    ("BREW-PRESS", PRESS),
    ("MOKA", MOKA),
    ("KETTLE", KETTLE),
    ("SCALE", SCALE),
    ("GRIND", GRINDER),
    ("TEA-POT", TEAPOT),
    ("PAN-", PAN),
    ("POT-", POT),
    ("TOOL", TOOLS),
    ("CUP-TEA", CUPS),
    ("MATCHA", BOWL),
    ("INFUSER", CUPS),
    ("TEA", TIN),
    ("CUTLERY", TOOLS),
    ("BAKE-PIN", PIN),
    ("SHEET", TRAY),
    ("MUFFIN", TRAY),
    ("BAKE-MAT", TRAY),
    ("RACK", TRAY),
    ("SCRAPER", SCRAPER),
    ("LAME", KNIFE),
    ("SHEARS", TOOLS),
    ("BUTTER", CHEST),
    ("LOAF", LOAF),
    ("BANNETON", LOAF),
    ("BOWL", BOWL),
    ("CAKE", PLATE),
    ("TART", PLATE),
    ("STONE-38", PLATE),
    ("BAKE", LOAF),
    ("KNIFE-STONE", BOARD),
    ("KNIFE", KNIFE),
    ("OIL", BOTTLE),
    ("BOARD", BOARD),
    ("JAR", JAR),
    ("CROCK", JAR),
    ("HONEY", JAR),
    ("JAM", JAR),
    ("TIN-", TIN),
    ("BOX", CHEST),
    ("TRAVEL", FLASK),
    ("CUP", CUPS),
    ("MUG", MUG),
    ("PLATE", PLATE),
    ("LINEN", TOWEL),
    ("COTTON", TOWEL),
    ("WRAP", TOWEL),
    ("BLANKET", TOWEL),
    ("OLIVE", BOTTLE),
    ("MAPLE", BOTTLE),
    ("BOTTLE", FLASK),
    ("FLASK", FLASK),
    ("PANTRY", BAG),
    ("BREW", CARTON),
    ("BASKET", BASKET),
    ("COOLER", BASKET),
    ("LUNCH", CHEST),
];

pub fn draw(sku: &str, seed: u64, colours: &Palette) -> Markup {
    let Some((word, parts)) = KINDS.iter().find(|(word, _)| sku.contains(word)) else {
        return pattern(seed, colours);
    };
    // Labels have room for an emblem of the product's own; the carton's is left of the middle.
    let emblem = match *word {
        "BEAN" | "TEA" | "TIN-" | "PANTRY" => Some("translate(0 0)"),
        "BREW" => Some("translate(-18 -3)"),
        _ => None,
    };
    html! {
        ellipse cx="160" cy="270" rx="98" ry="9" fill=(colours.ink) opacity=".12" {}
        @for part in *parts { (draw_part(part, colours)) }
        @if let Some(place) = emblem { g transform=(place) { (draw_emblem(seed, colours)) } }
    }
}

fn draw_part(Part(paint, width, path): &Part, colours: &Palette) -> Markup {
    let colour = colour(*paint, colours);
    html! {
        @if *width == 0 {
            path d=(path) fill=(colour) {}
        } @else {
            path d=(path) fill="none" stroke=(colour) stroke-width=(width) stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

fn colour(paint: Paint, colours: &Palette) -> &'static str {
    match paint {
        Body => colours.body,
        Shade => colours.shade,
        Light => colours.light,
        Spot => colours.spot,
        Ink => colours.ink,
    }
}

fn draw_emblem(seed: u64, colours: &Palette) -> Markup {
    let parts: &[Part] = match (seed >> 9) % 6 {
        0 => &[
            Part(Spot, 0, "M160 170a16 21 0 1 1 0 42 16 21 0 0 1 0-42Z"),
            Part(Light, 3, "M160 170c-11 14 11 28 0 42"),
        ],
        1 => &[
            Part(Spot, 0, "M138 202a22 22 0 0 1 44 0Z"),
            Part(Ink, 3, "M134 208h52M160 172v-8M140 180l-6-6M180 180l6-6"),
        ],
        2 => &[Part(Spot, 0, "M160 168c26 8 26 34 0 46-26-12-26-38 0-46Z"), Part(Light, 3, "M160 178v40")],
        3 => &[Part(Spot, 6, "M136 182c8-8 16-8 24 0s16 8 24 0M136 198c8-8 16-8 24 0s16 8 24 0")],
        4 => &[
            Part(Spot, 0, "M132 212l20-36 14 22 8-12 14 26Z"),
            Part(Ink, 0, "M182 172a6 6 0 1 1 0 12 6 6 0 0 1 0-12Z"),
        ],
        _ => &[
            Part(Spot, 0, "M160 168a23 23 0 1 1 0 46 23 23 0 0 1 0-46Z"),
            Part(Light, 0, "M160 168a23 23 0 0 1 0 46Z"),
        ],
    };
    html! { @for part in parts { (draw_part(part, colours)) } }
}

/// Sixteen tiles; each is turned one of four ways and has one of three colours.
fn pattern(seed: u64, colours: &Palette) -> Markup {
    const TURNS: [&str; 4] = [
        "h52a52 52 0 0 1-52 52Z",
        "h52v52a52 52 0 0 1-52-52Z",
        "m52 0v52h-52a52 52 0 0 1 52-52Z",
        "v52h52a52 52 0 0 0-52-52Z",
    ];
    html! {
        @for tile in 0..16_u32 {
            @let bits = seed.rotate_right(tile * 4);
            @let turn = TURNS[usize::try_from(bits & 3).expect("two bits")];
            @let colour = colour([Body, Spot, Shade, Light][usize::try_from(bits >> 2 & 3).expect("two bits")], colours);
            path d={ "M" (56 + tile % 4 * 52) " " (66 + tile / 4 * 52) (turn) } fill=(colour) {}
        }
    }
}
