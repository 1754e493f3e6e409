//! Text can be read in both themes: WCAG's contrast of each text colour on each ground, computed from the tokens.

use std::collections::HashMap;

type Rgb = [f64; 3];

/// Text and the grounds it stands on.
const TEXT: &[(&str, &[&str])] = &[
    ("ink", &["ground", "rail", "raised", "hover", "good-soft", "warn-soft", "bad-soft", "info-soft"]),
    ("ink-2", &["ground", "rail", "raised", "hover", "warn-soft"]),
    ("ink-3", &["ground", "rail", "raised", "hover", "warn-soft"]),
    ("accent", &["ground", "rail", "raised", "hover", "accent-soft"]),
    ("on-accent", &["accent-fill"]),
    ("good", &["ground", "good-soft"]),
    ("warn", &["ground", "warn-soft", "rail"]),
    ("bad", &["ground", "raised", "bad-soft", "warn-soft"]),
    ("info", &["ground", "info-soft"]),
];

/// Edges of fields and lines of charts, which need 3:1.
const SHAPES: &[(&str, &[&str])] = &[("field", &["ground"]), ("second", &["ground"]), ("accent", &["ground"])];

#[test]
fn text_has_a_contrast_of_four_and_a_half() {
    check(TEXT, 4.5);
}

#[test]
fn shapes_have_a_contrast_of_three() {
    check(SHAPES, 3.0);
}

fn check(pairs: &[(&str, &[&str])], least: f64) {
    let tokens = tokens();
    for (text, grounds) in pairs {
        for ground in *grounds {
            for (theme, name) in ["light", "dark"].iter().enumerate() {
                let contrast = contrast(tokens[*text][theme], tokens[*ground][theme]);
                assert!(contrast >= least, "{text} on {ground}, {name}: {contrast:.2}");
            }
        }
    }
}

/// Lines such as `--ink: light-dark(oklch(0.2 0.01 250), oklch(0.9 0.01 250));`
fn tokens() -> HashMap<String, [Rgb; 2]> {
    let css = String::from_utf8(web::assets::file("millrace.css").expect("the stylesheet").0).expect("UTF-8");
    css.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(": light-dark(")?;
            let mut colours =
                value.split("oklch(").skip(1).map(|colour| rgb(colour.split(')').next().expect("a bracket")));
            Some((name.to_owned(), [colours.next()?, colours.next()?]))
        })
        .collect()
}

/// OKLCH to linear sRGB, as in CSS Color 4.
#[expect(clippy::many_single_char_names, reason = "the names of the colour space")]
fn rgb(colour: &str) -> Rgb {
    let numbers: Vec<f64> = colour.split(' ').map(|number| number.parse().expect("a number")).collect();
    let [lightness, chroma, hue] = numbers[..] else { panic!("three numbers in {colour}") };
    let (a, b) = (chroma * hue.to_radians().cos(), chroma * hue.to_radians().sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
    .map(|part| part.clamp(0.0, 1.0))
}

fn contrast(one: Rgb, other: Rgb) -> f64 {
    let luminance = |[red, green, blue]: Rgb| 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}
