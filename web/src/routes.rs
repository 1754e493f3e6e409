//! Every page and every form, with the rule that holds for it.

use crate::rule::{PageRoutes, Site, Sites};
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
pub fn entrance(sites: Sites) -> PageRoutes {
    let served = |site| match site {
        Site::Shop => sites.shop,
        Site::Console => sites.console,
    };
    entrance::routes().only(|rule| served(rule.site)).merge(entrance::invitations())
}
