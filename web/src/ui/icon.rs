//! The icons: 16 units square, drawn with one line in the colour of the text.

use maud::{Markup, html};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Activity,
    Alert,
    Audit,
    Bell,
    Box,
    Calendar,
    Card,
    Cart,
    Check,
    Chevron,
    Clock,
    Close,
    Copy,
    Cross,
    Dots,
    External,
    Failures,
    Filter,
    Home,
    Inbox,
    Jobs,
    Left,
    Minus,
    Note,
    Orders,
    Pause,
    Person,
    People,
    Play,
    Printer,
    Product,
    Queue,
    Retry,
    Right,
    Search,
    Spinner,
    Tag,
    Truck,
    Worker,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Activity => "M1.5 8h3l2-5 3 10 2-5h3",
            Self::Alert => "M8 2 14.5 13.5h-13ZM8 6.5v3M8 11.6v.1",
            Self::Audit => "M8 1.5 13.5 3.5v4c0 3.5-2.3 5.8-5.5 7-3.2-1.2-5.5-3.5-5.5-7v-4ZM5.5 8l2 2 3.5-4",
            Self::Bell => "M4 11V7a4 4 0 0 1 8 0v4l1 1.5H3ZM6.5 14h3",
            Self::Box => "M2 4.8 8 1.8l6 3v6.4l-6 3-6-3ZM2 4.8l6 3 6-3M8 7.8v6.4",
            Self::Calendar => "M2.5 3.5h11v10h-11ZM2.5 6.5h11M5.5 2v3M10.5 2v3",
            Self::Card => "M1.5 3.5h13v9h-13ZM1.5 6.5h13M4 10h3",
            Self::Cart => "M1.5 2h2l1.6 8h7.4l1.5-6H4M6 13.3v.1M11.5 13.3v.1",
            Self::Check => "M3 8.5 6.5 12 13 4.5",
            Self::Chevron => "M6 4l4 4-4 4",
            Self::Clock => "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8ZM8 4.5V8l2.4 1.6",
            Self::Close => "M4 4l8 8M12 4l-8 8",
            Self::Copy => "M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3",
            Self::Cross => "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
            Self::Dots => "M3 8h.1M8 8h.1M13 8h.1",
            Self::External => "M6.5 3.5h-4v10h10v-4M9.5 2.5h4v4M13.5 2.5 7.5 8.5",
            Self::Failures => "M5.2 1.8h5.6l3.4 3.4v5.6l-3.4 3.4H5.2l-3.4-3.4V5.2ZM8 5v3.5M8 10.9v.1",
            Self::Filter => "M2 4h12M4.5 8h7M7 12h2",
            Self::Home => "M2 7.5 8 2l6 5.5M3.5 6.5v7h9v-7",
            Self::Inbox => "M2 9.5 4 2.5h8l2 7v4H2ZM2 9.5h3.5l1 2h3l1-2H14",
            Self::Jobs => "M2 3h12v3.5H2ZM2 9.5h12V13H2Z",
            Self::Left => "M13 8H3M7 4 3 8l4 4",
            Self::Minus => "M3.5 8h9",
            Self::Note => "M2.5 2.5h11v8l-3 3h-8ZM5 6h6M5 9h3",
            Self::Orders => "M3 1.8h10v12.4l-2-1.3-1.5 1.3L8 12.9l-1.5 1.3L5 12.9l-2 1.3ZM5.5 5.5h5M5.5 8.5h5",
            Self::Pause => "M5.5 3v10M10.5 3v10",
            Self::Person => "M8 2a2.8 2.8 0 1 1 0 5.6A2.8 2.8 0 0 1 8 2ZM2.5 14c.4-3 2.6-4.3 5.5-4.3s5.1 1.3 5.5 4.3",
            Self::People => {
                "M6 2.5a2.4 2.4 0 1 1 0 4.8 2.4 2.4 0 0 1 0-4.8ZM1.5 13.5c.3-2.7 2-4 4.5-4s4.2 1.3 4.5 4M10.5 2.8a2.3 2.3 0 0 1 0 4.3M12 9.8c1.5.5 2.3 1.7 2.5 3.7"
            }
            Self::Play => "M4.5 2.5 13 8l-8.5 5.5Z",
            Self::Printer => "M4 6V2h8v4M4 11.5H2V6h12v5.5h-2M4 9.5h8V14H4Z",
            Self::Product => "M3 5.5h10l1 8.5H2ZM5.5 7.5V4a2.5 2.5 0 0 1 5 0v3.5",
            Self::Queue => "M2 3.5h12M2 8h8M2 12.5h5M13 8.5v4.5M11 11l2 2 2-2",
            Self::Retry => "M13.5 8A5.5 5.5 0 1 1 11.8 4L13.5 5.5M13.5 2v3.5H10",
            Self::Right => "M3 8h10M9 4l4 4-4 4",
            Self::Search => "M7 2a5 5 0 1 1 0 10A5 5 0 0 1 7 2ZM10.6 10.6 14 14",
            Self::Spinner => {
                "M8 1.8V4.5M8 11.5v2.7M1.8 8h2.7M11.5 8h2.7M3.6 3.6l1.9 1.9M10.5 10.5l1.9 1.9M3.6 12.4l1.9-1.9M10.5 5.5l1.9-1.9"
            }
            Self::Tag => "M2 2h6l6 6-6 6-6-6ZM5.2 5.2h.1",
            Self::Truck => {
                "M1.5 3.5h8v7.5h-8ZM9.5 6h3l2 2.5V11h-5M4.5 13a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6ZM11.5 13a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6Z"
            }
            Self::Worker => {
                "M4 4h8v8H4ZM6.5 4V1.5M9.5 4V1.5M6.5 14.5V12M9.5 14.5V12M4 6.5H1.5M4 9.5H1.5M14.5 6.5H12M14.5 9.5H12"
            }
        }
    }
}

/// Decoration: the word beside it says the same, so screen readers skip it.
pub fn icon(icon: Icon) -> Markup {
    html! {
        svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" {
            path d=(icon.path()) {}
        }
    }
}

/// The mark of Millrace: water that turns a wheel.
pub fn mark() -> Markup {
    html! {
        svg class="mark" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false" {
            path class="wheel" d="M10 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM10 .8v3.4M10 11.8v3.4M2.8 8h3.4M13.8 8h3.4M4.9 2.9l2.4 2.4M12.7 10.7l2.4 2.4M15.1 2.9l-2.4 2.4M7.3 10.7l-2.4 2.4" {}
            path class="water" d="M1 17.5c1.5-1.3 3-1.3 4.5 0s3 1.3 4.5 0 3-1.3 4.5 0 3 1.3 4.5 0" {}
        }
    }
}
