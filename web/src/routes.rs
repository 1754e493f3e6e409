//! Every page and every form, with the rule that holds for it.

use shared::principal::Permission;

use crate::rule::{PageRoutes, Rule, Site, Visitors};
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

/// A page of the console that staff read.
pub const fn reads(needs: Permission) -> Rule {
    Rule::read(Site::Console, Visitors::With(needs))
}

/// A form of the console that changes something.
pub const fn changes(needs: Permission) -> Rule {
    Rule::write(Site::Console, Visitors::With(needs))
}
