//! Users of a test's API, and the answers that they get.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::TestApp;
use crate::documented;
use crate::until::until_some;

/// A user of the API.
#[derive(Clone)]
pub struct Person<'a> {
    pub app: &'a TestApp,
    pub token: Option<String>,
    pub id: Uuid,
    pub email: String,
}

impl Person<'_> {
    /// The same user with another token.
    #[must_use]
    pub fn with(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Places an order with these lines.
    pub async fn place(&self, lines: Value) -> Reply {
        self.post("/v1/orders", order_of(lines)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Asks until the answer is another than 503, as clients do: a machine that runs many tests at once may answer late.
    pub async fn get_patiently(&self, path: &str) -> Reply {
        until_some("an answer that is not 503", async || {
            let reply = self.get(path).await;
            (reply.status != 503).then_some(reply)
        })
        .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[("idempotency-key", key)]).await
    }

    /// The same for a POST, with a key.
    pub async fn post_patiently(&self, path: &str, body: Value) -> Reply {
        let key = Uuid::now_v7().to_string();
        until_some("an answer that is not 503", async || {
            let reply = self.post_with_key(path, &key, body.clone()).await;
            (reply.status != 503).then_some(reply)
        })
        .await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None, &[]).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.request(method.clone(), path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = Reply::of(request).await;
        documented::check(&method, path, reply.status.as_u16(), reply.code());
        reply
    }

    /// Places an order for two units with this payment token. Returns the path of the order.
    pub async fn order(&self, sku: &str, token: &str) -> String {
        let body = json!({
            "items": [{ "sku": sku, "quantity": 2 }],
            "payment_token": token,
            "shipping_address": { "line1": "1 Mill Lane" },
        });
        let placed = self.post("/v1/orders", body).await.done(201);
        format!("/v1/orders/{}", placed.id())
    }

    pub async fn see(&self, order: &str) -> Value {
        self.get(order).await.done(200).body
    }

    pub async fn move_to(&self, order: &str, status: &str) -> Reply {
        self.patch(&format!("{order}/status"), json!({ "status": status })).await
    }

    pub async fn cancel(&self, order: &str) -> Reply {
        self.post(&format!("{order}/cancel"), json!({})).await
    }

    /// The types of the order's events, in order.
    pub async fn story(&self, order: &str) -> Vec<String> {
        let events = self.get(&format!("{order}/events")).await.done(200);
        let events = events.body["data"].as_array().unwrap().clone();
        for (event, sequence) in events.iter().zip(1..) {
            assert_eq!(event["sequence"], sequence, "no gaps");
        }
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// A request for cases that `send` does not cover.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.app.http.request(method, format!("{}{path}", self.app.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// The body of an order with these lines.
pub fn order_of(lines: Value) -> Value {
    json!({ "items": lines, "payment_token": "tok_ok", "shipping_address": { "line1": "1 Mill Lane", "city": "Bath" } })
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the answer is complete");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id in the body.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    /// Checks for an error in the standard form, with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:#?}");
        self.refused_as_form();
    }

    /// Checks the standard form of an error, whatever its status and code.
    #[track_caller]
    pub fn refused_as_form(&self) {
        assert!(self.status.is_client_error() || self.status.is_server_error(), "{self:#?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["type"], format!("urn:millrace:problem:{}", self.code()));
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(self.body["title"].is_string() && self.body["errors"].is_array(), "{self:#?}");
        assert!(self.body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{self:#?}");
    }

    /// Checks for success with this status.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "most tests only want the check")]
    pub fn done(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        self
    }
}
