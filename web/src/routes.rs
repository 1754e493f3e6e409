//! Every page and every form, with the rule that holds for it.

use crate::rule::{PageRoutes, Site};
use crate::{console, entrance, shop};

/// The shop: `SHOP=off` leaves it out.
pub fn shop() -> PageRoutes {
    shop::routes()
}

/// The console: `CONSOLE=off` leaves it out.
pub fn console() -> PageRoutes {
    console::routes()
}

/// Where people sign in to the sites that are served.
pub fn entrance(shop: bool, console: bool) -> PageRoutes {
    let served = |site| match site {
        Site::Shop => shop,
        Site::Console => console,
    };
    entrance::routes().only(|rule| served(rule.site)).merge(entrance::invitations())
}
