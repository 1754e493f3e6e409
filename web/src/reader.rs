//! Who reads a page and how: clock, time zone, theme.

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use form_urlencoded::parse;

use crate::cookies;

/// What rendering needs to know about the reader.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The time of this answer, so that all relative times on a page agree.
    pub now: DateTime<Utc>,
    pub zone: Tz,
    pub theme: Theme,
}

impl Reader {
    /// From the cookies that `time.js` and `keys.js` set; UTC and the system's theme without them.
    pub fn of(headers: &HeaderMap) -> Self {
        let zone = cookies::read(headers, "millrace-zone").and_then(|value| {
            let name = parse(value.as_bytes()).next()?.0.into_owned();
            name.parse().ok()
        });
        let theme = match cookies::read(headers, "millrace-theme") {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        };
        Self { now: Utc::now(), zone: zone.unwrap_or(Tz::UTC), theme }
    }
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
