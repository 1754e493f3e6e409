//! The addresses of all pages, each with who may see it. The API mounts them.

use axum::extract::FromRef;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use shared::principal::{Permission, Surface};

use crate::state::WebState;
use crate::{assets, console, shop};

/// A page or a form, with what holds for it.
pub struct PageRoute<S> {
    pub method: Method,
    pub path: &'static str,
    pub handler: MethodRouter<S>,
    pub surface: Surface,
    pub who: Visitor,
    /// It takes a password.
    pub signs_in: bool,
    /// It may change the stock of products.
    pub moves_stock: bool,
}

/// Who may see a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    Anyone,
    SignedIn,
    Needs(Permission),
}

fn page<S>(surface: Surface, path: &'static str, who: Visitor, handler: MethodRouter<S>) -> PageRoute<S> {
    PageRoute { method: Method::GET, path, handler, surface, who, signs_in: false, moves_stock: false }
}

fn form<S>(surface: Surface, path: &'static str, who: Visitor, handler: MethodRouter<S>) -> PageRoute<S> {
    PageRoute { method: Method::POST, ..page(surface, path, who, handler) }
}

fn with_password<S>(route: PageRoute<S>) -> PageRoute<S> {
    PageRoute { signs_in: true, ..route }
}

fn moving_stock<S>(route: PageRoute<S>) -> PageRoute<S> {
    PageRoute { moves_stock: true, ..route }
}

/// Stylesheet, scripts and font, for both surfaces.
pub fn files<S>() -> Vec<PageRoute<S>>
where
    S: Clone + Send + Sync + 'static,
{
    vec![page(Surface::Shop, "/assets/{*file}", Visitor::Anyone, get(assets::serve))]
}

pub fn of_shop<S>() -> Vec<PageRoute<S>>
where
    WebState: FromRef<S>,
    S: Clone + Send + Sync + 'static,
{
    use Visitor::{Anyone, SignedIn};
    let see = |path, who, handler| page(Surface::Shop, path, who, handler);
    let send = |path, who, handler| form(Surface::Shop, path, who, handler);
    vec![
        see("/", Anyone, get(shop::home::home)),
        see("/c/{category}", Anyone, get(shop::home::category)),
        see("/search", Anyone, get(shop::home::search)),
        see("/p/{sku}", Anyone, get(shop::product::product)),
        see("/cart", Anyone, get(shop::cart::cart)),
        send("/cart", Anyone, post(shop::cart::add)),
        send("/cart/change", Anyone, post(shop::cart::change)),
        see("/checkout", SignedIn, get(shop::checkout::checkout)),
        send("/checkout", SignedIn, post(shop::checkout::place)),
        see("/orders", SignedIn, get(shop::orders::orders)),
        see("/orders/{number}", SignedIn, get(shop::track::track)),
        see("/orders/{number}/cancel", SignedIn, get(shop::track::ask_to_cancel)),
        moving_stock(send("/orders/{number}/cancel", SignedIn, post(shop::track::cancel))),
        see("/signin", Anyone, get(shop::account::sign_in_page)),
        with_password(send("/signin", Anyone, post(shop::account::sign_in))),
        see("/register", Anyone, get(shop::account::register_page)),
        with_password(send("/register", Anyone, post(shop::account::register))),
        see("/account", SignedIn, get(shop::account::account)),
        with_password(send("/account/password", SignedIn, post(shop::account::change_password))),
        send("/signout", Anyone, post(shop::account::sign_out)),
    ]
}

pub fn of_console<S>() -> Vec<PageRoute<S>>
where
    WebState: FromRef<S>,
    S: Clone + Send + Sync + 'static,
{
    use Visitor::{Anyone, Needs};
    let see = |path, who, handler| page(Surface::Console, path, who, handler);
    let send = |path, who, handler| form(Surface::Console, path, who, handler);
    let orders = Needs(Permission::OrdersRead);
    let moves = Needs(Permission::OrdersWrite);
    let ops = Needs(Permission::OpsRead);
    let acts = Needs(Permission::OpsWrite);
    vec![
        see("/console", orders, get(console::orders::first)),
        see("/console/signin", Anyone, get(console::signin::page)),
        with_password(send("/console/signin", Anyone, post(console::signin::sign_in))),
        send("/console/signout", Anyone, post(console::signin::sign_out)),
        see("/console/orders", orders, get(console::orders::orders)),
        see("/console/orders/{number}", orders, get(console::order::load::order)),
        see("/console/orders/{number}/paid", moves, get(console::order::act::ask_paid)),
        moving_stock(send("/console/orders/{number}/paid", moves, post(console::order::act::paid))),
        see("/console/orders/{number}/ship", moves, get(console::order::act::ask_ship)),
        moving_stock(send("/console/orders/{number}/ship", moves, post(console::order::act::ship))),
        moving_stock(send("/console/orders/{number}/delivered", moves, post(console::order::act::delivered))),
        see("/console/orders/{number}/cancel", moves, get(console::order::act::ask_cancel)),
        moving_stock(send("/console/orders/{number}/cancel", moves, post(console::order::act::cancel))),
        send("/console/orders/{number}/jobs/{job}/retry", acts, post(console::order::act::retry)),
        see("/console/orders/{number}/jobs/{job}/discard", acts, get(console::order::act::ask_discard)),
        send("/console/orders/{number}/jobs/{job}/discard", acts, post(console::order::act::discard)),
        see("/console/jobs", ops, get(console::jobs::jobs)),
        see("/console/jobs/{job}", ops, get(console::jobs::job)),
        send("/console/jobs/{job}/retry", acts, post(console::jobs::retry)),
        see("/console/jobs/{job}/discard", acts, get(console::jobs::ask_discard)),
        send("/console/jobs/{job}/discard", acts, post(console::jobs::discard)),
        see("/console/queues", ops, get(console::queues::queues)),
        see("/console/queues/{name}/pause", acts, get(console::queues::ask_pause)),
        send("/console/queues/{name}/pause", acts, post(console::queues::pause)),
        send("/console/queues/{name}/resume", acts, post(console::queues::resume)),
        see("/console/workers", ops, get(console::workers::workers)),
        see("/console/activity", ops, get(console::activity::activity)),
    ]
}
