//! The components: one function each. Pages are made of these and have no class names of their own.

pub mod banner;
pub mod button;
pub mod callout;
pub mod chart;
pub mod copy;
pub mod dialog;
pub mod facts;
pub mod form;
pub mod goods;
pub mod icon;
pub mod layout;
pub mod meter;
pub mod money;
pub mod pages;
pub mod picture;
pub mod rows;
pub mod state;
pub mod status;
pub mod stepper;
pub mod table;
pub mod tabs;
pub mod time;
pub mod timeline;
pub mod verdict;
pub mod words;

/// What a colour says. It never says it alone: an icon and a word stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Warn,
    Bad,
    Info,
    Quiet,
}

impl Tone {
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
            Self::Quiet => "quiet",
        }
    }
}
