//! Logging in with a token of Keystone's.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use beamdesk_auth::{LoginError, ProofError, Providers, ProvidersConfig};
use beamdesk_types::Role;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

use crate::{
    idp::{SECRET, request},
    sec_oidc::secret_file,
    world::{ADDRESS, World, secret},
};

/// What Keystone says of the token `user-token`, and the lines of who asked.
type Said = Arc<Mutex<(Value, Vec<String>)>>;

struct Scene {
    world: World,
    said: Said,
    _tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(more: &str) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let said: Said = Arc::new(Mutex::new((person(), Vec::new())));
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&said);
        tasks.spawn(async move {
            let mut own = 0;
            loop {
                let (mut stream, _) = socket.accept().await.unwrap();
                let Some(text) = request(&mut stream).await else { continue };
                let (status, head, body) = answer(&serving, &text, &mut own);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\n{head}Content-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[keystone]\nauth_url = \"http://{address}/v3\"\n\
             application_credential_id = \"abc\"\n\
             application_credential_secret_file = \"{}\"\n{more}\n\
             roles = {{ member = \"user\", admin = \"administrator\" }}\n",
            secret_file(dir.path(), "secret").display(),
        );
        let config: ProvidersConfig = toml::from_str(&text).unwrap();
        let providers = Providers::open(&config).unwrap();
        let world = World::in_memory().await.with_config(|config| config.providers = providers);
        Self { world, said, _tasks: tasks, _dir: dir }
    }

    async fn log_in(&self, token: &str) -> Result<beamdesk_auth::Login, ProofError> {
        self.world.auth.keystone_login(secret(token), ADDRESS).await
    }

    fn say(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.said.lock().unwrap().0);
    }
}

fn person() -> Value {
    json!({ "token": {
        "user": { "id": "u1", "name": "ada", "domain": { "id": "default", "name": "Default" } },
        "project": { "id": "p7", "name": "b7" },
        "roles": [{ "id": "r1", "name": "member" }],
        "methods": ["password"],
        "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T01:00:00.000000Z",
    } })
}

fn answer(said: &Said, request: &str, own: &mut u32) -> (u16, String, String) {
    let mut guard = said.lock().unwrap();
    let (said, asked) = &mut *guard;
    let line = request.lines().next().unwrap_or_default().to_owned();
    assert!(line.contains("/v3/auth/tokens"), "{line}");
    asked.push(line.clone());
    if line.starts_with("POST") {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let credential = &body["auth"]["identity"]["application_credential"];
        if credential["id"] != "abc" || credential["secret"] != SECRET {
            return (401, String::new(), "{}".to_owned());
        }
        *own += 1;
        return (201, format!("X-Subject-Token: own-{own}\r\n"), person().to_string());
    }
    let header = |name: &str| {
        let line = request.lines().find(|line| line.to_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
    };
    // The first own token was revoked before its time.
    if header("x-auth-token").as_deref() != Some("own-2") {
        return (401, String::new(), "{}".to_owned());
    }
    if header("x-subject-token").as_deref() != Some("user-token") {
        return (404, String::new(), "{}".to_owned());
    }
    (200, String::new(), said.to_string())
}

#[tokio::test]
async fn a_token_that_keystone_knows_logs_in() {
    let scene = Scene::new("stations = { p7 = \"b7\" }").await;
    let login = scene.log_in("user-token").await.unwrap();
    assert_eq!((login.actor.name.as_str(), login.actor.role), ("ada", Role::User));
    let stations = scene.world.store.stations_of(login.actor.user).await.unwrap().unwrap();
    assert_eq!(stations, ["b7".parse().unwrap()]);
    // Its own token was renewed once when it was refused, and is kept.
    let asked = scene.said.lock().unwrap().1.clone();
    assert_eq!(asked.iter().filter(|line| line.starts_with("POST")).count(), 2, "{asked:?}");
    scene.say(|said| said["token"]["roles"] = json!([{ "id": "r2", "name": "admin" }]));
    let again = scene.log_in("user-token").await.unwrap();
    assert_eq!((again.actor.user, again.actor.role), (login.actor.user, Role::Administrator));
    assert!(scene.world.auth.actor(login.token.expose()).await.unwrap().is_none());
    let asked = scene.said.lock().unwrap().1.clone();
    assert_eq!(asked.iter().filter(|line| line.starts_with("POST")).count(), 2, "{asked:?}");
}

#[tokio::test]
async fn a_token_that_is_no_persons_own_login_is_refused() {
    let scene = Scene::new("domains = [\"default\"]").await;
    let not_taken = async |token: &str| {
        let refused = scene.log_in(token).await.unwrap_err();
        assert!(matches!(refused, ProofError::NotTaken(_)), "{refused:?}");
        // After some tries one has to wait.
        scene.world.clock.advance(Duration::from_secs(3600));
    };
    for odd in
        ["", " ", "other-token", "user token", "x\r\nX-Auth-Token: y", &"x".repeat(9000), "ä"]
    {
        not_taken(odd).await;
    }
    scene.say(|said| said["token"]["OS-TRUST:trust"] = json!({ "id": "t" }));
    not_taken("user-token").await;
    scene.say(|said| {
        *said = person();
        said["token"]["methods"] = json!(["application_credential"]);
    });
    not_taken("user-token").await;
    scene.say(|said| {
        *said = person();
        said["token"]["user"]["domain"]["id"] = json!("other");
    });
    not_taken("user-token").await;
    scene.say(|said| {
        *said = person();
        said["token"]["roles"] = json!([{ "id": "r3", "name": "reader" }]);
    });
    let refused = scene.log_in("user-token").await.unwrap_err();
    assert!(matches!(refused, ProofError::NoAccess), "{refused:?}");
    scene.say(|said| *said = json!({ "token": 7 }));
    let refused = scene.log_in("user-token").await.unwrap_err();
    assert!(matches!(refused, ProofError::Provider(_)), "{refused:?}");
    assert_eq!(scene.world.store.users(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn after_some_wrong_tokens_one_has_to_wait() {
    let scene = Scene::new("").await;
    for _ in 0..5 {
        let refused = scene.log_in("other-token").await.unwrap_err();
        assert!(matches!(refused, ProofError::NotTaken(_)), "{refused:?}");
    }
    let refused = scene.log_in("user-token").await.unwrap_err();
    let ProofError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
    scene.world.clock.advance(retry_after);
    scene.log_in("user-token").await.unwrap();
}

#[tokio::test]
async fn it_is_off_unless_configured() {
    let world = World::in_memory().await;
    let refused = world.auth.keystone_login(secret("user-token"), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, ProofError::Off), "{refused:?}");
    let refused = world.auth.begin_oidc("https://a").await.unwrap_err();
    assert!(matches!(refused, ProofError::Off), "{refused:?}");
    let refused = world.auth.login("u1", secret("user-token"), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
}
