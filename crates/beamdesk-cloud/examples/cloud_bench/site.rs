//! The portal as an administrator's browser sees it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{chance::Chance, portals::Portals};

const PASSWORD: &str = "correct horse battery";
/// A portal that was killed is back within seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const AGAIN: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct Site {
    client: Client,
    /// Of all portals; whichever answers.
    origins: Arc<Vec<String>>,
    first: Arc<AtomicUsize>,
    cookie: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Desktop {
    pub(crate) id: String,
    pub(crate) phase: String,
    pub(crate) generation: u32,
    #[serde(default)]
    pub(crate) failure: Option<Value>,
    #[serde(default)]
    pub(crate) waiting: Option<Value>,
    #[serde(default)]
    pub(crate) cloud: Option<Value>,
}

impl Desktop {
    pub(crate) fn has_arrived(&self) -> bool {
        matches!(self.phase.as_str(), "ready" | "failed")
    }
}

#[derive(Debug, Deserialize)]
struct Desktops {
    desktops: Vec<Desktop>,
}

impl Site {
    /// Makes the first administrator and logs in.
    pub(crate) async fn enter(portals: &Portals) -> Result<Self> {
        let client = Client::builder().timeout(ASK_TIMEOUT).no_proxy().build()?;
        let origins = Arc::new(portals.origins());
        let mut site = Self { client, origins, first: Arc::default(), cookie: String::new() };
        let token = portals.setup_token().await?;
        let body = json!({ "token": token, "name": "root", "password": PASSWORD });
        let (_, cookie, _) = site.call(Method::POST, "/api/v1/setup", Some(&body)).await?;
        site.cookie = cookie.context("a session begins with the set-up")?;
        Ok(site)
    }

    /// Asks for a desktop of the smallest size.
    pub(crate) async fn ask(&self, name: &str) -> Result<String> {
        let body = json!({ "name": name, "image": "debian-desktop", "size": "small" });
        let (status, _, answer) = self.call(Method::POST, "/api/v1/desktops", Some(&body)).await?;
        let id = answer["id"].as_str().map(str::to_owned);
        id.with_context(|| format!("no desktop: {status} {answer}"))
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("/api/v1/desktops/{id}"), None).await?;
        Ok(())
    }

    pub(crate) async fn desktops(&self) -> Result<Vec<Desktop>> {
        let (_, _, answer) = self.call(Method::GET, "/api/v1/desktops", None).await?;
        Ok(serde_json::from_value::<Desktops>(answer)?.desktops)
    }

    /// What Prometheus would read.
    pub(crate) async fn metrics(&self) -> Result<String> {
        let (_, _, token) = self.call(Method::POST, "/api/v1/metrics-token", None).await?;
        let token = token["token"].as_str().context("a token")?;
        let origin = self.origins.first().context("a portal")?;
        let asked = self.client.get(format!("{origin}/metrics")).bearer_auth(token);
        Ok(asked.send().await?.text().await?)
    }

    /// Asks for desktops and deletes them again, for ever: about `count` at a time.
    pub(crate) async fn keep_busy(self, seed: u64, count: usize) -> Result<()> {
        let mut chance = Chance::new(seed ^ 0x5eed);
        for n in 0_u64.. {
            sleep(Duration::from_millis(chance.between(100, 1500))).await;
            let Ok(mut all) = self.desktops().await else { continue };
            all.retain(|one| one.phase != "deleting");
            let is_many = all.len() >= count;
            if all.is_empty() || (!is_many && chance.index(5) < 3) {
                drop(self.ask(&format!("busy {n}")).await);
            } else if let Some(one) = all.get(chance.index(all.len())) {
                drop(self.delete(&one.id).await);
            }
        }
        Ok(())
    }

    /// One call at the portal that answers; one that was killed is waited for.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Option<String>, Value)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let first = self.first.load(Ordering::Relaxed);
            let origin = &self.origins[first % self.origins.len()];
            let mut request = self
                .client
                .request(method.clone(), format!("{origin}{path}"))
                .header("x-beamdesk", "1")
                .header(header::ORIGIN, origin)
                .header(header::COOKIE, &self.cookie);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await;
            match answer {
                Ok(answer) if answer.status().as_u16() < 500 => {
                    let status = answer.status().as_u16();
                    let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
                    let cookies = cookies.filter_map(|one| one.to_str().ok()?.split(';').next());
                    let cookies: Vec<&str> = cookies.collect();
                    let cookie = (!cookies.is_empty()).then(|| cookies.join("; "));
                    let text = answer.text().await.unwrap_or_default();
                    if matches!(status, 401 | 403) {
                        bail!("{method} {path}: {status} {text}");
                    }
                    return Ok((status, cookie, serde_json::from_str(&text).unwrap_or_default()));
                }
                Ok(answer) if Instant::now() > until => {
                    bail!("{method} {path}: {}", answer.status());
                }
                Err(error) if Instant::now() > until => {
                    return Err(error).context(format!("{method} {path}"));
                }
                Ok(_) | Err(_) => {
                    self.first.store(first.wrapping_add(1), Ordering::Relaxed);
                    sleep(AGAIN).await;
                }
            }
        }
    }
}
