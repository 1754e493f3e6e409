//! The values of a chart: kinds, series, colours.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    Line,
    /// Stacked.
    Area,
    /// Stacked.
    Bars,
}

/// One line, layer or colour of bars. A missing value is drawn as a gap.
pub struct Series {
    pub name: &'static str,
    pub hue: Hue,
    pub values: Vec<Option<i64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    Accent,
    /// What is as it should be, beside what is not.
    Soft,
    Second,
    Third,
    Good,
    Warn,
    Bad,
}

impl Hue {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accent => "hue-accent",
            Self::Soft => "hue-soft",
            Self::Second => "hue-second",
            Self::Third => "hue-third",
            Self::Good => "hue-good",
            Self::Warn => "hue-warn",
            Self::Bad => "hue-bad",
        }
    }
}
