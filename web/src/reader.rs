//! Who reads a page and how: clock, time zone, theme.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// What rendering needs to know about the reader.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The time of this answer, so that all relative times on a page agree.
    pub now: DateTime<Utc>,
    pub zone: Tz,
    pub theme: Theme,
}

/// The theme, from a cookie, so that the first paint has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}
