//! SR-01: logging in by an OpenID Connect provider.

use std::{
    io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc, time::Duration,
};

use beamdesk_auth::{
    Arrival, Login, LoginError, ProofError, ProviderFault, Providers, ProvidersConfig, TokenFault,
};
use beamdesk_store::UserChange;
use beamdesk_types::{Role, Secret};
use serde_json::{Value, json};

use crate::{
    idp::{Idp, SECRET, SUBJECT, Signer, b64},
    world::{ADDRESS, PASSWORD, World, secret},
};

const ORIGIN: &str = "https://desk.example.org";
const SECOND: Duration = Duration::from_secs(1);

struct Scene {
    world: World,
    idp: Idp,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(more: &str) -> Self {
        let world = World::in_memory().await;
        let idp = Idp::start(world.now()).await;
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[oidc]\nissuer = \"{}\"\nclient_id = \"beamdesk\"\n\
             client_secret_file = \"{}\"\n{more}\n\
             roles = {{ staff = \"operator\", admins = \"administrator\", users = \"user\" }}\n",
            idp.issuer,
            secret_file(dir.path(), "secret").display(),
        );
        let config: ProvidersConfig = toml::from_str(&text).unwrap();
        let providers = Providers::open(&config).unwrap();
        let world = world.with_config(|config| config.providers = providers);
        Self { world, idp, _dir: dir }
    }

    /// A whole login: leaves, is at the provider, comes back.
    async fn log_in(&self) -> Result<Login, ProofError> {
        let departure = self.world.auth.begin_oidc(ORIGIN).await?;
        let code = self.idp.code(&departure.url);
        let arrival = self.arrival(&departure.url, &code);
        self.world.auth.finish_oidc(Some(departure.flow.expose()), arrival, ADDRESS).await
    }

    fn arrival(&self, departure: &url::Url, code: &str) -> Arrival {
        let state = departure.query_pairs().find(|(name, _)| name == "state").unwrap().1;
        Arrival {
            code: Some(Secret::new(code.to_owned())),
            state: Some(state.into_owned()),
            error: None,
            issuer: Some(self.idp.issuer.clone()),
        }
    }

    fn says(&self, mutate: impl Fn(&Signer, Value, Value) -> String + Send + Sync + 'static) {
        self.idp.state().mutate = Arc::new(mutate);
    }

    fn groups(&self, groups: &[&str]) {
        self.idp.state().claims["groups"] = json!(groups);
    }
}

pub(crate) fn secret_file(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    writeln!(file, "{SECRET}").unwrap();
    path
}

type Mutation = (&'static str, fn(&Signer, Value, Value) -> String);

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn shifted(claims: Value, name: &str, by: i64) -> Value {
    let at = claims["iat"].as_i64().unwrap();
    with(claims, name, json!(at + by))
}

/// Tokens that prove nothing, each a good one with one thing wrong.
fn mutations() -> Vec<Mutation> {
    vec![
        ("algorithm none", |k, h, c| k.sign(&with(h, "alg", json!("none")), &c)),
        ("algorithm None", |k, h, c| k.sign(&with(h, "alg", json!("None")), &c)),
        ("no algorithm", |k, h, c| k.sign(&without(h, "alg"), &c)),
        ("none, but signed", |k, h, c| k.sign_as("RS256", &with(h, "alg", json!("none")), &c)),
        ("HS256 with the RSA key's modulus", |k, h, c| {
            Signer::hmac(&with(h, "alg", json!("HS256")), &c, &k.modulus())
        }),
        ("HS256 with the RSA key's DER", |k, h, c| {
            Signer::hmac(&with(h, "alg", json!("HS256")), &c, &k.der())
        }),
        ("HS256 with the client's secret", |_, h, c| {
            Signer::hmac(&without(with(h, "alg", json!("HS256")), "kid"), &c, SECRET.as_bytes())
        }),
        ("an algorithm that is not in the list", |k, h, c| {
            k.sign(&with(h, "alg", json!("RS512")), &c)
        }),
        ("the key of another kind", |k, h, c| k.sign(&with(h, "alg", json!("ES256")), &c)),
        ("RS256 said, PS256 done", |k, h, c| k.sign_as("PS256", &h, &c)),
        ("signed by somebody else's key", |_, h, c| Signer::fresh("k1").sign(&h, &c)),
        ("signed by a key that is not published", |_, h, c| {
            Signer::fresh("k9").sign(&with(h, "kid", json!("k9")), &c)
        }),
        ("no signature", |k, h, c| {
            let token = k.sign(&h, &c);
            format!("{}.", token.rsplit_once('.').unwrap().0)
        }),
        ("half a signature", |k, h, c| {
            let token = k.sign(&h, &c);
            token.chars().take(token.len() - 100).collect()
        }),
        ("one bit of the signature", |k, h, c| flipped(&k.sign(&h, &c), 2)),
        ("one bit of the claims", |k, h, c| flipped(&k.sign(&h, &c), 1)),
        ("the claims of another token under this signature", |k, h, c| {
            let good = k.sign(&h, &c);
            let other = b64(with(c, "sub", json!("somebody-else")).to_string().as_bytes());
            let parts: Vec<_> = good.split('.').collect();
            format!("{}.{other}.{}", parts[0], parts[2])
        }),
        ("an address of keys in the header", |k, h, c| {
            k.sign(&with(h, "jku", json!("https://evil.example.org/jwks")), &c)
        }),
        ("a key in the header, which signed it", |_, h, c| {
            let own = Signer::fresh("k1");
            let key = own.published()["keys"][0].clone();
            own.sign(&with(h, "jwk", key), &c)
        }),
        ("an address of certificates in the header", |k, h, c| {
            k.sign(&with(h, "x5u", json!("https://evil.example.org/x")), &c)
        }),
        ("certificates in the header", |k, h, c| k.sign(&with(h, "x5c", json!(["MIIB"])), &c)),
        ("something critical", |k, h, c| k.sign(&with(h, "crit", json!(["exp"])), &c)),
        ("claims that are not encoded", |k, h, c| k.sign(&with(h, "b64", json!(false)), &c)),
        ("an access token", |k, h, c| k.sign(&with(h, "typ", json!("at+jwt")), &c)),
        ("a logout token by its header", |k, h, c| {
            k.sign(&with(h, "typ", json!("logout+jwt")), &c)
        }),
        ("a logout token by its claims", |k, h, c| {
            let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
            k.sign(&h, &with(c, "events", event))
        }),
        ("another issuer", |k, h, c| {
            k.sign(&h, &with(c, "iss", json!("https://evil.example.org")))
        }),
        ("the issuer with a slash", |k, h, c| {
            let issuer = format!("{}/", c["iss"].as_str().unwrap());
            k.sign(&h, &with(c, "iss", json!(issuer)))
        }),
        ("no issuer", |k, h, c| k.sign(&h, &without(c, "iss"))),
        ("for somebody else", |k, h, c| k.sign(&h, &with(c, "aud", json!("other")))),
        ("for several others", |k, h, c| k.sign(&h, &with(c, "aud", json!(["other", "more"])))),
        ("for us and others, without a party", |k, h, c| {
            k.sign(&h, &with(c, "aud", json!(["beamdesk", "other"])))
        }),
        ("for us and others, by another party", |k, h, c| {
            let c = with(c, "azp", json!("other"));
            k.sign(&h, &with(c, "aud", json!(["beamdesk", "other"])))
        }),
        ("by another party", |k, h, c| k.sign(&h, &with(c, "azp", json!("other")))),
        ("for nobody", |k, h, c| k.sign(&h, &without(c, "aud"))),
        ("for an empty list", |k, h, c| k.sign(&h, &with(c, "aud", json!([])))),
        ("for a part of our name", |k, h, c| k.sign(&h, &with(c, "aud", json!("beam")))),
        ("of another login", |k, h, c| k.sign(&h, &with(c, "nonce", json!("x".repeat(43))))),
        ("of no login", |k, h, c| k.sign(&h, &without(c, "nonce"))),
        ("of a login that is no text", |k, h, c| k.sign(&h, &with(c, "nonce", json!(["x"])))),
        ("over for a minute", |k, h, c| k.sign(&h, &shifted(c, "exp", -61))),
        ("over for an hour", |k, h, c| {
            k.sign(&h, &shifted(shifted(c, "exp", -3600), "iat", -7200))
        }),
        ("without an end", |k, h, c| k.sign(&h, &without(c, "exp"))),
        ("an end that is text", |k, h, c| k.sign(&h, &with(c, "exp", json!("9999999999")))),
        ("an end beyond all times", |k, h, c| k.sign(&h, &with(c, "exp", json!(1e300)))),
        ("not good yet", |k, h, c| k.sign(&h, &shifted(c, "nbf", 120))),
        ("made in the future", |k, h, c| k.sign(&h, &shifted(c, "iat", 3600))),
        ("made an hour ago", |k, h, c| k.sign(&h, &shifted(c, "iat", -3600))),
        ("made at no time", |k, h, c| k.sign(&h, &without(c, "iat"))),
        ("about nobody", |k, h, c| k.sign(&h, &without(c, "sub"))),
        ("about an empty name", |k, h, c| k.sign(&h, &with(c, "sub", json!("")))),
        ("about too long a name", |k, h, c| k.sign(&h, &with(c, "sub", json!("x".repeat(256))))),
        ("about a number", |k, h, c| k.sign(&h, &with(c, "sub", json!(7)))),
        ("about two at once", |k, h, c| {
            let twice = c.to_string().replacen("\"sub\":", "\"sub\":\"root\",\"sub\":", 1);
            k.sign_text(&h, &twice)
        }),
        ("four parts", |k, h, c| format!("{}.x", k.sign(&h, &c))),
        ("two parts", |k, h, c| {
            let token = k.sign(&h, &c);
            token.rsplit_once('.').unwrap().0.to_owned()
        }),
        ("nothing", |_, _, _| String::new()),
        ("only dots", |_, _, _| "..".to_owned()),
        ("the claims themselves", |_, _, c| c.to_string()),
        ("with padding", |k, h, c| format!("{}==", k.sign(&h, &c))),
        ("a line end at its end", |k, h, c| format!("{}\n", k.sign(&h, &c))),
        ("longer than any", |k, h, c| k.sign(&h, &with(c, "x", json!("x".repeat(70_000))))),
        ("claims that are a list", |k, h, _| k.sign(&h, &json!([1, 2]))),
        ("claims that are no JSON", |k, h, _| k.sign_text(&h, "{\"iss\":")),
    ]
}

/// Another bit in one of the three parts.
fn flipped(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut bytes = parts[part].clone().into_bytes();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    parts[part] = String::from_utf8(bytes).unwrap();
    parts.join(".")
}

#[tokio::test]
async fn mutations_of_an_id_token_are_all_refused() {
    let scene = Scene::new("").await;
    // The one that all others were made from is good.
    scene.log_in().await.unwrap();
    let people = scene.world.store.users(None, 10).await.unwrap().len();
    let all = mutations();
    assert!(all.len() >= 40, "{}", all.len());
    let mut accepted = Vec::new();
    for (name, mutate) in all {
        scene.says(mutate);
        match scene.log_in().await {
            Ok(_) => accepted.push(name),
            Err(ProofError::Token(_)) => {}
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(accepted, Vec::<&str>::new());
    assert_eq!(scene.world.store.users(None, 10).await.unwrap().len(), people);
    scene.says(|keys, header, claims| keys.sign(&header, &claims));
    scene.log_in().await.unwrap();
}

#[tokio::test]
async fn a_good_token_of_each_kind_is_taken() {
    let scene = Scene::new("").await;
    let good: [Mutation; 9] = [
        ("PS256", |k, h, c| k.sign(&with(h, "alg", json!("PS256")), &c)),
        ("ES256", |k, h, c| {
            k.sign(&with(with(h, "alg", json!("ES256")), "kid", json!("k1-ec")), &c)
        }),
        ("EdDSA", |k, h, c| {
            k.sign(&with(with(h, "alg", json!("EdDSA")), "kid", json!("k1-ed")), &c)
        }),
        ("without the key's name", |k, h, c| k.sign(&without(h, "kid"), &c)),
        ("without a type", |k, h, c| k.sign(&without(h, "typ"), &c)),
        ("a list of one audience", |k, h, c| k.sign(&h, &with(c, "aud", json!(["beamdesk"])))),
        ("for others too, by our asking", |k, h, c| {
            let c = with(c, "azp", json!("beamdesk"));
            k.sign(&h, &with(c, "aud", json!(["other", "beamdesk"])))
        }),
        ("times with fractions", |k, h, c| {
            let end = format!("{}.5", c["exp"]).parse::<f64>().unwrap();
            k.sign(&h, &with(c, "exp", json!(end)))
        }),
        ("a minute's difference of clocks", |k, h, c| {
            k.sign(&h, &shifted(shifted(c, "nbf", 59), "exp", -50))
        }),
    ];
    for (name, mutate) in good {
        scene.says(mutate);
        let login = scene.log_in().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(login.actor.name, "ada", "{name}");
    }
}

#[tokio::test]
async fn only_the_browser_that_left_comes_back() {
    let scene = Scene::new("").await;
    let auth = &scene.world.auth;
    let departure = auth.begin_oidc(ORIGIN).await.unwrap();
    let other = auth.begin_oidc(ORIGIN).await.unwrap();
    let flow = departure.flow.expose();
    let finish = async |flow: Option<&str>, arrival: Arrival| {
        auth.finish_oidc(flow, arrival, ADDRESS).await.unwrap_err()
    };
    let arrival = || {
        let code = scene.idp.code(&departure.url);
        scene.arrival(&departure.url, &code)
    };
    let is_over = |error: ProofError| assert!(matches!(error, ProofError::Expired), "{error:?}");
    // Without the cookie, with another login's, with a made-up one; with no state or another.
    is_over(finish(None, arrival()).await);
    is_over(finish(Some(other.flow.expose()), arrival()).await);
    is_over(finish(Some("9999999999999.aHR0cHM6Ly9h.x"), arrival()).await);
    is_over(finish(Some(flow), Arrival { state: None, ..arrival() }).await);
    let foreign = scene.arrival(&other.url, "code0").state;
    is_over(finish(Some(flow), Arrival { state: foreign, ..arrival() }).await);
    is_over(finish(Some(flow), Arrival { code: None, ..arrival() }).await);
    // Another provider's answer.
    for issuer in [None, Some("https://evil.example.org".to_owned())] {
        let error = finish(Some(flow), Arrival { issuer, ..arrival() }).await;
        assert!(matches!(error, ProofError::Token(TokenFault::Claim("iss"))), "{error:?}");
    }
    // A code of another login: its verifier does not fit.
    let stolen = scene.idp.code(&other.url);
    let error = finish(Some(flow), scene.arrival(&departure.url, &stolen)).await;
    assert!(matches!(error, ProofError::Provider(ProviderFault::NoToken(_))), "{error:?}");
    // A code works once.
    let code = scene.idp.code(&departure.url);
    auth.finish_oidc(Some(flow), scene.arrival(&departure.url, &code), ADDRESS).await.unwrap();
    let error = finish(Some(flow), scene.arrival(&departure.url, &code)).await;
    assert!(matches!(error, ProofError::Provider(ProviderFault::NoToken(_))), "{error:?}");
    // What the provider says of its own is told, as a word.
    let denied = Arrival { error: Some("access_denied\r\n<b>".to_owned()), ..arrival() };
    let error = finish(Some(flow), denied).await;
    assert!(matches!(&error, ProofError::Denied(word) if word == "access_deniedb"), "{error:?}");
    // Ten minutes later it is over.
    scene.world.clock.advance(Duration::from_secs(600));
    is_over(finish(Some(flow), arrival()).await);
}

#[tokio::test]
async fn another_portal_of_the_site_ends_the_login() {
    let scene = Scene::new("").await;
    let departure = scene.world.auth.begin_oidc(ORIGIN).await.unwrap();
    let code = scene.idp.code(&departure.url);
    let arrival = scene.arrival(&departure.url, &code);
    let other = World::replica(
        scene.world.store.clone(),
        scene.world.clock.clone(),
        scene.world.config.clone(),
    );
    let login = other.auth.finish_oidc(Some(departure.flow.expose()), arrival, ADDRESS).await;
    let login = login.unwrap();
    assert!(scene.world.auth.actor(login.token.expose()).await.unwrap().is_some());
}

#[tokio::test]
async fn groups_make_role_and_stations_at_each_login() {
    let scene = Scene::new("stations = { staff = \"b2\", g7 = [\"b7\", \"b8\"] }").await;
    let store = &scene.world.store;
    scene.groups(&["admins", "g7", "staff"]);
    let root = scene.log_in().await.unwrap();
    assert_eq!(root.actor.role, Role::Administrator);
    let of = async || store.stations_of(root.actor.user).await.unwrap();
    let names = |ids: Option<Vec<beamdesk_types::StationId>>| -> Vec<String> {
        ids.unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(of().await), ["b2", "b7", "b8"]);
    // The same again: another session, and the first goes on (SR-03).
    let again = scene.log_in().await.unwrap();
    assert_eq!(again.actor.user, root.actor.user);
    assert_ne!(again.actor.session, root.actor.session);
    assert_ne!(again.token.expose(), root.token.expose());
    assert!(scene.world.auth.actor(root.token.expose()).await.unwrap().is_some());
    // Out of the group: no administrator any more, and the sessions of one ended.
    scene.groups(&["users"]);
    let user = scene.log_in().await.unwrap();
    assert_eq!((user.actor.user, user.actor.role), (root.actor.user, Role::User));
    assert!(scene.world.auth.actor(root.token.expose()).await.unwrap().is_none());
    assert!(scene.world.auth.actor(again.token.expose()).await.unwrap().is_none());
    assert_eq!(names(of().await), Vec::<String>::new());
    // Out of all groups: not let in, and what was there ends.
    scene.groups(&["strangers"]);
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::NoAccess), "{error:?}");
    assert!(scene.world.auth.actor(user.token.expose()).await.unwrap().is_none());
    // An administrator disabled the account: the provider's word does not open it.
    scene.groups(&["users"]);
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    store.update_user(root.actor.user, disable, scene.world.now()).await.unwrap();
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::Disabled), "{error:?}");
}

#[tokio::test]
async fn a_person_is_the_subject_and_never_the_name_or_address() {
    let scene = Scene::new("").await;
    // An account of this installation with the same name.
    scene.world.user("ada", Role::Administrator).await;
    let login = scene.log_in().await.unwrap();
    assert_eq!((login.actor.name.as_str(), login.actor.role), ("ada-2", Role::Operator));
    // Another subject with the same name and address is somebody else.
    scene.idp.state().claims["email"] = json!("ada@example.org");
    scene.idp.state().claims["sub"] = json!("person-2");
    let other = scene.log_in().await.unwrap();
    assert_ne!(other.actor.user, login.actor.user);
    // The same subject under another name is the same.
    scene.idp.state().claims["sub"] = json!(SUBJECT);
    scene.idp.state().claims["preferred_username"] = json!("root");
    let again = scene.log_in().await.unwrap();
    assert_eq!((again.actor.user, again.actor.name.as_str()), (login.actor.user, "ada-2"));
    // None of them has a password.
    let refused = scene.world.auth.login("ada-2", secret(PASSWORD), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
}

#[tokio::test]
async fn groups_that_the_token_lacks_are_asked_for() {
    let scene = Scene::new("").await;
    scene.idp.state().claims = json!({});
    let said = json!({ "sub": SUBJECT, "preferred_username": "ada", "groups": ["admins"] });
    scene.idp.state().user_info = Some(said);
    let login = scene.log_in().await.unwrap();
    assert_eq!((login.actor.name.as_str(), login.actor.role), ("ada", Role::Administrator));
    // What is said of somebody else is not believed, nor with a token that is not this one's.
    scene.idp.state().user_info = Some(json!({ "sub": "person-2", "groups": ["admins"] }));
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::Token(TokenFault::Claim("sub"))), "{error:?}");
    scene.idp.state().claims = json!({ "at_hash": "x" });
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::Token(TokenFault::Claim("at_hash"))), "{error:?}");
    // Nobody is let in by the silence of the provider.
    scene.idp.state().claims = json!({});
    scene.idp.state().user_info = None;
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::Provider(_)), "{error:?}");
}

#[tokio::test]
async fn a_key_that_rolls_is_found_and_an_old_one_is_forgotten() {
    let scene = Scene::new("").await;
    scene.log_in().await.unwrap();
    scene.log_in().await.unwrap();
    assert_eq!(scene.idp.state().asked, (1, 1), "what is known is not asked for again");
    // The next key signs, and is published beside or instead of the first.
    let next = Signer::fresh("k2");
    let old = {
        let mut state = scene.idp.state();
        state.published = next.published();
        std::mem::replace(&mut state.keys, next)
    };
    let began = tokio::time::Instant::now();
    scene.log_in().await.unwrap();
    assert_eq!(scene.idp.state().asked.0, 2);
    scene.says(move |_, header, claims| old.sign(&with(header, "kid", json!("k1")), &claims));
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, ProofError::Token(TokenFault::Key)), "{error:?}");
    // Tokens with unknown keys make us ask no more than every ten seconds.
    let unknown = Arc::new(Signer::fresh("k3"));
    scene.says(move |_, header, claims| unknown.sign(&with(header, "kid", json!("k3")), &claims));
    for _ in 0..50 {
        scene.log_in().await.unwrap_err();
    }
    let asked = scene.idp.state().asked.0;
    let most = 2 + usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    assert!(asked <= most, "asked {asked} times, may {most}");
}

#[tokio::test]
async fn a_provider_that_fails_is_said_to_and_comes_back() {
    for (path, status, body) in [
        ("/token", 500, ""),
        ("/token", 200, "{}"),
        ("/token", 200, "not json"),
        ("/token", 302, ""),
        ("/token", 400, "{\"error\":\"invalid_client\"}"),
        ("/jwks", 500, ""),
        ("/jwks", 200, "{\"keys\":[]}"),
        ("/jwks", 200, "<html>"),
        ("/.well-known/openid-configuration", 404, ""),
        ("/.well-known/openid-configuration", 200, "{}"),
    ] {
        let scene = Scene::new("").await;
        scene.idp.state().broken.insert(path, (status, body.to_owned()));
        let error = scene.log_in().await.unwrap_err();
        assert!(matches!(error, ProofError::Provider(_)), "{path} {status}: {error:?}");
    }
    // Endless answers are not read to their end.
    let scene = Scene::new("").await;
    scene.idp.state().broken.insert("/jwks", (200, "x".repeat(2 << 20)));
    let error = scene.log_in().await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    // A token endpoint that was down for a moment.
    let scene = Scene::new("").await;
    scene.idp.state().broken.insert("/token", (503, String::new()));
    scene.log_in().await.unwrap_err();
    scene.idp.state().broken.clear();
    scene.log_in().await.unwrap();
}

#[tokio::test]
async fn a_document_of_another_provider_is_refused() {
    for (key, value) in [
        ("issuer", "https://evil.example.org"),
        ("issuer", "http://127.0.0.1"),
        ("token_endpoint", "http://evil.example.org/token"),
        ("jwks_uri", "file:///etc/passwd"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("userinfo_endpoint", "ftp://x/"),
        ("token_endpoint", "no address"),
    ] {
        let scene = Scene::new("").await;
        scene.idp.state().metadata[key] = json!(value);
        let error = scene.log_in().await.unwrap_err();
        assert!(matches!(error, ProofError::Provider(_)), "{key} {value}: {error:?}");
    }
}

/// Real time: the deadline of the client is what is tested.
#[tokio::test]
async fn a_mute_provider_costs_one_wait_and_no_more() {
    let scene = Scene::new("").await;
    scene.idp.state().is_mute = true;
    let began = tokio::time::Instant::now();
    let many = futures_util::future::join_all((0..20).map(|_| scene.log_in())).await;
    assert!(many.iter().all(|one| matches!(one, Err(ProofError::Provider(_)))));
    // One after another they would wait for minutes.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Passwords go on meanwhile.
    scene.world.user("local", Role::User).await;
    scene.world.login("local").await;
}

#[tokio::test]
async fn a_logout_token_ends_the_sessions_it_names_once() {
    let scene = Scene::new("").await;
    scene.idp.state().claims["sid"] = json!("sid-1");
    let one = scene.log_in().await.unwrap();
    scene.idp.state().claims["sid"] = json!("sid-2");
    let two = scene.log_in().await.unwrap();
    let alive =
        async |login: &Login| scene.world.auth.actor(login.token.expose()).await.unwrap().is_some();
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let good = json!({ "iss": scene.idp.issuer, "aud": "beamdesk", "sub": SUBJECT, "sid": "sid-1",
        "iat": scene.world.now().as_second(), "jti": "j-1", "events": event });
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "logout+jwt" });
    let send = async |header: &Value, claims: &Value| {
        let token = scene.idp.state().keys.sign(header, claims);
        scene.world.auth.oidc_back_channel(&token).await
    };
    let g = || good.clone();
    let bad = [
        (header.clone(), with(g(), "iss", json!("https://evil.example.org"))),
        (header.clone(), with(g(), "aud", json!("other"))),
        (header.clone(), with(g(), "nonce", json!("x"))),
        (header.clone(), without(g(), "events")),
        (header.clone(), with(g(), "events", json!({}))),
        (header.clone(), with(g(), "events", json!({ "other": {} }))),
        (header.clone(), without(without(g(), "sub"), "sid")),
        (header.clone(), without(g(), "jti")),
        (header.clone(), with(g(), "jti", json!(""))),
        (header.clone(), without(g(), "iat")),
        (header.clone(), shifted(g(), "iat", -600)),
        (header.clone(), shifted(g(), "iat", 600)),
        (header.clone(), shifted(g(), "exp", -600)),
        (with(header.clone(), "alg", json!("none")), g()),
        (with(header.clone(), "typ", json!("at+jwt")), g()),
    ];
    for (header, claims) in bad {
        let refused = send(&header, &claims).await;
        assert!(matches!(refused, Err(ProofError::Token(_))), "{claims}: {refused:?}");
    }
    // An ID token is none.
    let id = with(Idp::good_claims(&scene.idp.issuer, scene.world.now()), "nonce", json!("n"));
    send(&header, &id).await.unwrap_err();
    assert!(alive(&one).await && alive(&two).await);

    assert_eq!(send(&header, &good).await.unwrap(), 1);
    assert!(!alive(&one).await && alive(&two).await);
    let refused = send(&header, &good).await;
    assert!(matches!(refused, Err(ProofError::Token(TokenFault::Used))), "{refused:?}");
    // Without a name of a session: all of this person's.
    let all = without(with(g(), "jti", json!("j-2")), "sid");
    assert_eq!(send(&header, &all).await.unwrap(), 1);
    assert!(!alive(&two).await);
}

#[tokio::test]
async fn logging_out_leads_to_the_providers_page_where_the_session_is_its() {
    let scene = Scene::new("").await;
    scene.world.user("local", Role::User).await;
    let local = scene.world.login("local").await;
    let auth = &scene.world.auth;
    assert_eq!(auth.oidc_farewell(local.actor.session, ORIGIN).await.unwrap(), None);
    let ada = scene.log_in().await.unwrap();
    let url = auth.oidc_farewell(ada.actor.session, ORIGIN).await.unwrap().unwrap();
    assert!(url.as_str().starts_with(&format!("{}/end?", scene.idp.issuer)), "{url}");
    assert!(!url.as_str().contains("token"), "{url}");
    let back = url.query_pairs().find(|(name, _)| name == "post_logout_redirect_uri").unwrap().1;
    assert_eq!(back, format!("{ORIGIN}/"));
}

#[tokio::test]
async fn passwords_may_be_left_to_administrators() {
    let scene = Scene::new("local_login = \"administrators\"").await;
    scene.world.user("ada", Role::Operator).await;
    scene.world.user("root", Role::Administrator).await;
    scene.world.login("root").await;
    let login = async |password: &str| {
        scene.world.auth.login("ada", secret(password), ADDRESS).await.unwrap_err()
    };
    let refused = login(PASSWORD).await;
    assert!(matches!(refused, LoginError::NotLocal), "{refused:?}");
    // Said only to one who knows the password.
    let refused = login("wrong horse").await;
    assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
}

#[test]
fn a_configuration_that_is_not_safe_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    std::fs::write(&open, "x").unwrap();
    let opened = |more: &str| {
        let has_issuer = more.contains("issuer");
        let issuer = if has_issuer { "" } else { "issuer = \"https://login.example.org\"\n" };
        let text = format!("[oidc]\n{issuer}client_id = \"beamdesk\"\n{more}\n");
        let config: ProvidersConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        Providers::open(&config).map(drop).map_err(|error| error.to_string())
    };
    opened("").unwrap();
    for (more, word) in [
        ("issuer = \"http://login.example.org\"", "https"),
        ("issuer = \"login.example.org\"", "issuer"),
        ("issuer = \"https://login.example.org/?x\"", "query"),
        ("algorithms = [\"HS256\"]", "HS256"),
        ("algorithms = [\"none\"]", "none"),
        ("algorithms = []", "at least one"),
        ("scopes = [\"a b\"]", "one word"),
        ("roles = { x = \"god\" }", "god"),
        ("client_secret = \"x\"", "client_secret"),
        ("client_secret_file = \"/nonexistent\"", "no such file"),
        (&format!("client_secret_file = \"{}\"", open.display()), "chmod 600"),
        (&format!("ca_file = \"{}\"", open.display()), "certificate"),
        ("local_login = \"nobody\"", "nobody"),
    ] {
        let error = opened(more).expect_err(more);
        assert!(error.contains(word), "{more}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn nothing_of_a_login_is_stored_in_the_plain_or_logged() {
    let scene = Scene::new("").await;
    let departure = scene.world.auth.begin_oidc(ORIGIN).await.unwrap();
    let shown = format!("{departure:?}");
    assert!(!shown.contains(departure.flow.expose()), "{shown}");
    scene.world.clock.advance(SECOND);
    scene.says(|keys, header, claims| keys.sign(&header, &with(claims, "nonce", json!("x"))));
    scene.log_in().await.unwrap_err();
    let events = scene.world.store.audit_events(None, 10).await.unwrap();
    assert_eq!(events[0].event.action, "login_refused");
    assert!(events[0].event.detail.contains("nonce"), "{:?}", events[0]);
    assert!(!events[0].event.detail.contains("ey"), "no part of the token");
}
