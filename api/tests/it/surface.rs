//! What every request passes and every answer has.

use reqwest::Method;

use crate::support::TestApp;

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_one_form() {
    let app = TestApp::new().await;
    app.anyone().get("/nowhere").await.refused(404, "not_found");
    app.anyone().send(Method::DELETE, "/health", None, &[]).await.refused(405, "method_not_allowed");
}
