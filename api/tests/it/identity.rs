//! Accounts, sessions and roles.

use serde_json::json;

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn logging_in_gives_a_token_that_is_believed() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let caller = app.state.identity.authenticate(&app.db, alice.token.as_ref().unwrap()).await.unwrap();
    assert_eq!(caller.user_id.0, alice.id);

    let login =
        app.anyone().post("/v1/auth/login", json!({ "email": alice.email, "password": PASSWORD })).await.done(200);
    assert_eq!(login.body["token_type"], "Bearer");
    assert_eq!(login.body["expires_in"], 900);
}
