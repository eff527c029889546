//! `/explain/{server}`: shapes, options, and a status for each way in which there is no explanation.

mod common;

use common::{Daemon, get};
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn details_lie_where_clients_look_for_them() {
    let router = Daemon::new().router();
    let (status, body) = get(&router, "/explain/db-1").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["shap"], json!({"method": "shapley"}));
    assert_eq!(body["counterfactuals"], json!([{"scenario": "Do nothing"}]));
    assert_eq!(
        body["explanations"]["counterfactual"]["details"],
        json!({"under": 50})
    );
    assert_eq!(body["explanations"]["shap"]["drivers"][0]["impact"], 23.5);
    assert_eq!(
        (&body["target"], &body["step"]),
        (&json!("risk"), &json!(null))
    );
    assert_eq!(
        (&body["background"], &body["data_points"]),
        (&json!("profile"), &json!(288))
    );
    // What failed is told beside what did not.
    assert_eq!(body["errors"]["broken"]["code"], "trapped");
    assert_eq!(body["errors"]["busy"]["retryable"], true);
}

#[tokio::test]
async fn options_are_handed_on() {
    let router = Daemon::new().router();
    let path = "/explain/db-1?explainer=own&target=mem_used_pct&by=segment&samples=40";
    let (_, body) = get(&router, path).await;
    assert_eq!(
        (&body["target"], &body["step"]),
        (&json!("mem_used_pct"), &json!(6))
    );
    let options = &body["explanations"]["own"]["details"]["options"];
    assert_eq!(*options, json!([["by", "segment"], ["samples", "40"]]));
    assert_eq!(
        body["explanations"].as_object().map(serde_json::Map::len),
        Some(1)
    );
}

#[tokio::test]
async fn without_an_explanation_there_is_a_problem() {
    let router = Daemon::new().router();
    for (path, status, code) in [
        ("/explain/nobody", 404, "unknown_server"),
        ("/explain/new-1", 409, "warming_up"),
        ("/explain/db-1?explainer=none", 404, "unknown_explainer"),
        ("/explain/db-1?explainer=choosy", 400, "unknown_target"),
        ("/explain/db-1?explainer=busy", 503, "explainer_busy"),
        ("/explain/db-1?explainer=broken", 502, "explainer_failed"),
        ("/explain/db-1?target=mem_used_pct&step=0", 400, "bad_step"),
        ("/explain/db-1?step=6", 400, "bad_step"),
        ("/explain/db-1?colour=blue", 400, "unknown_parameter"),
    ] {
        let (found, body) = get(&router, path).await;
        assert_eq!(
            (found.as_u16(), &body["code"]),
            (status, &json!(code)),
            "{path}: {body}"
        );
    }
}
