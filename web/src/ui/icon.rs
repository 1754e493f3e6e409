//! Icons: outlines of 16 by 16, drawn in the colour of the text.

use maud::{Markup, PreEscaped, html};

pub const LOGO: PreEscaped<&str> = PreEscaped(
    r#"<svg class="logo" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><circle cx="10" cy="10" r="8" fill="none" stroke="currentColor" stroke-width="2"/><path d="M10 2v16M2 10h16M4.4 4.4l11.2 11.2M15.6 4.4 4.4 15.6" stroke="currentColor" stroke-width="1.4"/><circle cx="10" cy="10" r="2.4" fill="currentColor"/></svg>"#,
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Activity,
    Alert,
    Back,
    Boxes,
    Cart,
    Check,
    Clock,
    Copy,
    Cross,
    Dot,
    Inbox,
    Jobs,
    Key,
    More,
    Orders,
    Overview,
    Pause,
    Person,
    Play,
    Queues,
    Search,
    Send,
    Tag,
    Truck,
    Users,
    Workers,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Activity => "M1.5 8h3l2-5 3 10 2-5h3",
            Self::Alert => "M8 2 1.5 13.5h13zM8 6.5v3M8 11.5v.2",
            Self::Back => "M9.5 3 4.5 8l5 5",
            Self::Boxes => "M2 9h5v5H2zM9 9h5v5H9zM5.5 2h5v5h-5z",
            Self::Cart => "M1.5 2.5h2l1.5 8h7.5l1.5-6H4.2M6 13.5v.1M11.5 13.5v.1",
            Self::Check => "m2.5 8.5 3.5 3.5 7.5-8",
            Self::Clock => "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.5V8l2.5 1.5",
            Self::Copy => "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
            Self::Cross => "m3.5 3.5 9 9M12.5 3.5l-9 9",
            Self::Dot => "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
            Self::Inbox => "M1.5 9.5 3.5 3h9l2 6.5v4h-13zM1.5 9.5H5l1 2h4l1-2h3.5",
            Self::Jobs => "M2 4h12M2 8h12M2 12h8",
            Self::Key => "M5 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 8h6v3M11.5 8v2",
            Self::More => "M3.5 8h.01M8 8h.01M12.5 8h.01",
            Self::Orders => "M3 1.5h7l3 3v10H3zM5.5 7.5h5M5.5 10.5h5",
            Self::Overview => "M2 14V9M6 14V4M10 14V7M14 14V2",
            Self::Pause => "M5 3v10M11 3v10",
            Self::Person => {
                "M8 2a2.7 2.7 0 1 0 0 5.4A2.7 2.7 0 0 0 8 2M2.8 14c.4-3 2.4-4.5 5.2-4.5s4.800 1.500 5.200 4.500"
            }
            Self::Play => "M4.500 2.500v11l8.500-5.500z",
            Self::Queues => "M2 3.500h12v3H2zM2 9.500h12v3H2z",
            Self::Search => "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9M10.500 10.500l3.500 3.500",
            Self::Send => "M1.500 8 14.500 2.500 10 14l-2.500-5z",
            Self::Tag => "M2 2.500h5.500l6.500 6.500-5 5-7-7zM5 5.500v.1",
            Self::Truck => "M1.500 3.500h8v7h-8zM9.500 6h3l2 2.500v2h-5M4 12.500v.1M12 12.500v.1",
            Self::Users => {
                "M6 3a2.200 2.200 0 1 0 0 4.400A2.200 2.200 0 0 0 6 3M1.500 13c.3-2.600 2-3.800 4.500-3.800s4.200 1.200 4.500 3.800M10.500 3.200a2.200 2.200 0 0 1 0 4M12 9.600c1.500.5 2.300 1.600 2.500 3.400"
            }
            Self::Workers => "M3 2.500h10v5H3zM3 9.500h10v4H3zM5.500 5v.1M5.500 11.500v.1",
        }
    }
}

/// For the eye only: every icon stands beside its word.
pub fn svg(icon: Icon) -> Markup {
    html! { svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path d=(icon.path()) {} } }
}
