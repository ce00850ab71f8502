//! What would happen if.

use serde_json::json;

use crate::system::System;

#[tokio::test]
async fn other_policies_are_simulated() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let body = json!({ "policies": ["fit", "best_fit"], "trace": "heps", "load": 0.3, "seeds": 2,
        "more_nodes": -50 });
    let answer = root.post("/api/v1/whatif", body).await.expect(200);
    assert_eq!(answer["is_whole"], true);
    assert_eq!(answer["nodes"], 200);
    let results = answer["results"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|result| result["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["fit", "best_fit"]);
    for result in results {
        let measures = result["measures"].as_array().unwrap();
        assert!(measures.iter().any(|measure| measure["name"] == "first"), "{result}");
        let curve = result["curve"].as_array().unwrap();
        assert!(!curve.is_empty() && curve.len() <= 100);
    }
    system.stop().await;
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let good = json!({ "policies": ["fit"], "trace": "heps", "load": 0.05 });
    for (field, value, code) in [
        ("policies", json!([]), "invalid_policy"),
        ("policies", json!(["best"]), "invalid_policy"),
        ("load", json!(0.0), "invalid"),
        ("load", json!(3.0), "invalid"),
        ("seeds", json!(0), "invalid"),
        ("seeds", json!(21), "invalid"),
        ("more_nodes", json!(2001), "invalid"),
        ("more_nodes", json!(-2000), "invalid"),
        ("cpu_weight", json!(-1.0), "invalid"),
        ("trace", json!("history"), "invalid"),
    ] {
        let mut bad = good.clone();
        bad[field] = value.clone();
        let refused = root.post("/api/v1/whatif", bad).await;
        assert_eq!(refused.status, 400, "{field} {value}: {}", refused.body);
        refused.refused(400, code);
    }
    system.stop().await;
}
