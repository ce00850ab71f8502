//! Metrics: who may read them, and that Prometheus can.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::json;

use crate::{
    browser::Browser,
    srm::{Monitor, card},
    system::System,
};

/// The page, as text.
async fn page(browser: &Browser, token: Option<&str>) -> (u16, String) {
    let mut request = browser.request(Method::GET, "/metrics");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn operators_and_the_token_read_metrics_and_nobody_else() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let stranger = system.browser();
    let user = system.account(&mut root, "ada", "user").await;
    let operator = system.account(&mut root, "op", "operator").await;
    assert_eq!(page(&stranger, None).await.0, 401);
    assert_eq!(page(&user, None).await.0, 403);
    assert_eq!(page(&operator, None).await.0, 200);
    for wrong in ["", "x", &"x".repeat(5000)] {
        assert_eq!(page(&stranger, Some(wrong)).await.0, 401);
    }
    let made = root.order("/api/v1/metrics-token").await.expect(200);
    let token = made["token"].as_str().unwrap();
    let (status, text) = page(&stranger, Some(token)).await;
    assert_eq!(status, 200);
    assert!(text.starts_with("# HELP beamdesk_nodes "), "{text}");
    root.delete("/api/v1/metrics-token").await.expect(204);
    assert_eq!(page(&stranger, Some(token)).await.0, 401);
    system.stop().await;
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    let mut odd = card(2);
    odd["model"] = json!("a \"model\" \\ with\na line end 显卡");
    let report = monitor.full(&[card(1), odd]);
    monitor.taken(&report).await;
    root.new_desktop("mine").await;
    let (_, text) = page(&root, None).await;
    for line in [
        "beamdesk_nodes{state=\"open\"} 1",
        "beamdesk_nodes{state=\"silent\"} 1",
        "beamdesk_cards{model=\"RTX A6000\",state=\"free\"} 1",
        "beamdesk_report_age_seconds{node=\"sim-001\"} 0",
        "beamdesk_reports_total{verdict=\"taken\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: Debian package `prometheus`");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
    system.stop().await;
}
