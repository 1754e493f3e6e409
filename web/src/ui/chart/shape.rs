//! The drawing of a chart: values to coordinates to paths.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::series::{ChartKind, Series};

pub const WIDTH: i32 = 600;
pub const HEIGHT: i32 = 160;

/// The value at the upper edge.
pub fn top(kind: ChartKind, series: &[Series]) -> i64 {
    let most = match kind {
        ChartKind::Line => series.iter().flat_map(|one| one.values.iter().flatten()).copied().max(),
        ChartKind::Area | ChartKind::Bars => (0..length(series)).map(|place| sum(series, place)).max(),
    };
    round_up(most.unwrap_or(0))
}

/// The next number of one digit (and 1.2, 1.5, 2.5) times a power of ten whose half is as round.
pub fn round_up(most: i64) -> i64 {
    let mut power = 1_i64;
    while most > power.saturating_mul(10) {
        power = power.saturating_mul(10);
    }
    let steps = [2, 3, 4, 6, 8, 10];
    let steps = steps.into_iter().map(|step| power.saturating_mul(step)).filter(|step| step % 2 == 0);
    steps.into_iter().find(|step| *step >= most).unwrap_or(most)
}

pub fn draw(kind: ChartKind, series: &[Series], top: i64) -> Markup {
    match kind {
        ChartKind::Line => {
            html! { @for one in series { path class={ "line " (one.hue.name()) } d=(line(&one.values, top)) {} } }
        }
        ChartKind::Area => areas(series, top),
        ChartKind::Bars => bars(series, top),
    }
}

fn line(values: &[Option<i64>], top: i64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (place, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let letter = if pen_down { 'L' } else { 'M' };
            write!(path, "{letter}{} {}", x(place, values.len()), y(*value, top)).expect("a string takes all");
        }
        pen_down = value.is_some();
    }
    path
}

/// Each layer lies on the sum of those before it.
fn areas(series: &[Series], top: i64) -> Markup {
    let length = length(series);
    let mut below = vec![0_i64; length];
    let mut layers = Vec::new();
    for one in series {
        let above: Vec<i64> =
            (0..length).map(|place| below[place] + one.values.get(place).copied().flatten().unwrap_or(0)).collect();
        let edge = line(&above.iter().copied().map(Some).collect::<Vec<_>>(), top);
        let mut back = String::new();
        for place in (0..length).rev() {
            write!(back, "L{} {}", x(place, length), y(below[place], top)).expect("a string takes all");
        }
        layers.push((one.hue.name(), edge, back));
        below = above;
    }
    html! {
        @for (hue, edge, back) in &layers {
            path class={ "area " (hue) } d={ (edge) (back) "Z" } {}
            path class={ "line " (hue) } d=(edge) {}
        }
    }
}

fn bars(series: &[Series], top: i64) -> Markup {
    let length = length(series);
    let band = f64::from(WIDTH) / as_f64(length.max(1));
    let gap = (band * 0.25).min(3.0);
    let mut below = vec![0_i64; length];
    html! {
        @for one in series {
            @let path: String = (0..length).filter_map(|place| {
                let value = one.values.get(place).copied().flatten().filter(|value| *value > 0)?;
                let left = round(band * as_f64(place) + gap / 2.0);
                let width = round(band - gap);
                let bar = format!("M{left} {}h{width}v-{}h-{width}z", y(below[place], top), height(value, top));
                below[place] += value;
                Some(bar)
            }).collect();
            path class={ "bars " (one.hue.name()) } d=(path) {}
        }
    }
}

fn length(series: &[Series]) -> usize {
    series.iter().map(|one| one.values.len()).max().unwrap_or(0)
}

fn sum(series: &[Series], place: usize) -> i64 {
    series.iter().filter_map(|one| one.values.get(place).copied().flatten()).sum()
}

fn x(place: usize, length: usize) -> f64 {
    round(f64::from(WIDTH) * as_f64(place) / as_f64(length.max(2) - 1))
}

fn y(value: i64, top: i64) -> f64 {
    round(f64::from(HEIGHT) - height_exact(value, top))
}

fn height(value: i64, top: i64) -> f64 {
    round(height_exact(value, top))
}

#[expect(clippy::cast_precision_loss, reason = "coordinates need three digits")]
fn height_exact(value: i64, top: i64) -> f64 {
    f64::from(HEIGHT) * value as f64 / top.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a chart has at most a few hundred points")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

/// Two digits: less than a pixel, and short.
pub fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
