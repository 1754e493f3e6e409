//! A browser without a screen: keeps cookies, follows no redirects, sends forms as browsers do.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use testkit::app::{PASSWORD, TestApp};
use testkit::person::{Person, Reply};

pub struct Tab<'a> {
    pub app: &'a TestApp,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'a> Tab<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { app, http, cookies: Mutex::default() }
    }

    /// Signed in to the shop as this person.
    pub async fn shopping(person: &Person<'a>) -> Self {
        Self::signed_in(person, "/signin").await
    }

    /// Signed in to the console as this person.
    pub async fn working(person: &Person<'a>) -> Self {
        Self::signed_in(person, "/console/signin").await
    }

    async fn signed_in(person: &Person<'a>, page: &str) -> Self {
        let tab = Self::new(person.app);
        tab.send(page, &[("email", &person.email), ("password", PASSWORD)]).await.done(303);
        tab
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.app.url)).header("accept", "text/html");
        if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) }
    }

    pub async fn open(&self, path: &str) -> Reply {
        self.keep(Reply::of(self.request(Method::GET, path)).await)
    }

    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        self.keep(Reply::of(request.header("sec-fetch-site", "same-origin").body(body)).await)
    }

    fn keep(&self, reply: Reply) -> Reply {
        let mut cookies = self.cookies.lock().unwrap();
        for cookie in reply.headers.get_all(SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        drop(cookies);
        reply
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }
}

/// Where a redirect leads.
pub fn location(reply: &Reply) -> &str {
    reply.header(LOCATION.as_str())
}

/// The fields of a page's form that is sent to this address, hidden ones with their values.
pub fn fields<'a>(page: &'a str, action: &str) -> Vec<(&'a str, &'a str)> {
    let start = page.find(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form to {action} in {page}"));
    let form = page[start..].split("</form>").next().unwrap();
    let inputs = form.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap());
    inputs
        .filter(|input| input.contains("type=\"hidden\""))
        .map(|input| (attribute(input, "name"), attribute(input, "value")))
        .collect()
}

fn attribute<'a>(input: &'a str, name: &str) -> &'a str {
    input.split(&format!("{name}=\"")).nth(1).unwrap_or_default().split('"').next().unwrap_or_default()
}
