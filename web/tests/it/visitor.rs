//! Somebody with a browser that has no scripts: keeps cookies, sends forms as browsers do, and follows no redirect unasked.

use std::collections::BTreeMap;

use reqwest::header::{ACCEPT, LOCATION, ORIGIN, REFERER, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use testkit::app::{PASSWORD, TestApp};

pub struct Visitor<'a> {
    /// Where the pages are.
    site: &'a str,
    http: Client,
    pub cookies: BTreeMap<String, String>,
    /// The page that was looked at last.
    at: String,
}

/// A page as it came.
#[derive(Debug)]
pub struct Shown {
    pub status: StatusCode,
    pub location: Option<String>,
    pub text: String,
}

impl<'a> Visitor<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { site: &app.url, http, cookies: BTreeMap::new(), at: "/".to_owned() }
    }

    /// For a console that has an address of its own.
    pub fn at_the_console(app: &'a TestApp) -> Self {
        Self { site: app.console_url.as_deref().expect("the app has --console-addr"), ..Self::new(app) }
    }

    pub async fn signed_in_to_shop(app: &'a TestApp, email: &str) -> Self {
        Self::signed_in(app, "/signin", email).await
    }

    pub async fn signed_in_to_console(app: &'a TestApp, email: &str) -> Self {
        Self::signed_in(app, "/console/signin", email).await
    }

    async fn signed_in(app: &'a TestApp, path: &str, email: &str) -> Self {
        let mut visitor = Self::new(app);
        let entered = visitor.send(path, &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(entered.status, 303, "{entered:?}");
        visitor
    }

    pub async fn open(&mut self, path: &str) -> Shown {
        self.at = path.to_owned();
        let request = self.request(Method::GET, path);
        self.take(request).await
    }

    /// Sends a form from the page that was opened last.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let request =
            self.request(Method::POST, path).header(ORIGIN, self.site).header("sec-fetch-site", "same-origin");
        let request = request.header(REFERER, format!("{}{}", self.site, self.at)).form(fields);
        self.take(request).await
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.site)).header(ACCEPT, "text/html");
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn take(&mut self, request: RequestBuilder) -> Shown {
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if rest.contains("Max-Age=0;") || rest.ends_with("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        Shown { status: response.status(), location, text: response.text().await.unwrap() }
    }
}

impl Shown {
    /// A page, and not an error.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn leads_to(&self, path: &str) {
        assert_eq!((self.status.as_u16(), self.location.as_deref()), (303, Some(path)), "{self:#?}");
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "no `{words}` in {}", self.text);
        self
    }

    #[track_caller]
    pub fn does_not_say(&self, words: &str) -> &Self {
        assert!(!self.text.contains(words), "`{words}` is in {}", self.text);
        self
    }

    /// The value of the first hidden field of this name.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let rest = self.text.split(&mark).nth(1).unwrap_or_else(|| panic!("no field {name} in {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }
}
