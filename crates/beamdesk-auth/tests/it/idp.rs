//! An identity provider that says whatever a test tells it to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_types::Timestamp;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(crate) const CLIENT: &str = "beamdesk";
pub(crate) const SECRET: &str = "s3cret / with & odd=signs";
pub(crate) const SUBJECT: &str = "person-1";

/// Runs as long as the value lives.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    issuer: String,
    state: Mutex<State>,
}

/// Of the keys, the header and the claims of a good token, another.
pub(crate) type Mutation = Arc<dyn Fn(&Signer, Value, Value) -> String + Send + Sync>;

pub(crate) struct State {
    pub(crate) keys: Signer,
    /// What `/jwks` publishes.
    pub(crate) published: Value,
    /// Nonces and challenges by code, each for one exchange.
    codes: BTreeMap<String, (String, String)>,
    /// What the token endpoint gives for the next code, made from a good token's parts.
    pub(crate) mutate: Mutation,
    /// Claims besides those that every token has.
    pub(crate) claims: Value,
    pub(crate) user_info: Option<Value>,
    pub(crate) now: Timestamp,
    /// How many asked for `/jwks`, and for the discovery document.
    pub(crate) asked: (usize, usize),
    /// Answers of paths that are not as they should be: status and body.
    pub(crate) broken: BTreeMap<&'static str, (u16, String)>,
    /// Accepts and never answers.
    pub(crate) is_mute: bool,
    pub(crate) metadata: Value,
}

/// Keys of each kind, and tokens signed by them.
pub(crate) struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    pub(crate) id: String,
}

impl Signer {
    pub(crate) fn fresh(id: &str) -> Self {
        Self {
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
            id: id.to_owned(),
        }
    }

    /// The key set: `<id>` for RSA, `<id>-ec` and `<id>-ed`.
    pub(crate) fn published(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": self.id, "use": "sig", "n": b64(&self.modulus()), "e": "AQAB" },
            { "kty": "EC", "kid": format!("{}-ec", self.id), "crv": "P-256",
              "x": b64(&point[1..33]), "y": b64(&point[33..65]) },
            { "kty": "OKP", "kid": format!("{}-ed", self.id), "crv": "Ed25519",
              "x": b64(self.ed.public_key().as_ref()) },
        ] })
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        let public = self.rsa.public_key();
        public.modulus().big_endian_without_leading_zero().to_vec()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.rsa.public_key().as_ref().to_vec()
    }

    /// A token signed as its header says; `none` has no signature.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_as(header["alg"].as_str().unwrap_or("RS256"), header, claims)
    }

    /// A token signed by an algorithm, whatever its header says.
    pub(crate) fn sign_as(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        self.signed(algorithm, &unsigned(header, &claims.to_string()))
    }

    /// Claims that no JSON library would write.
    pub(crate) fn sign_text(&self, header: &Value, claims: &str) -> String {
        self.signed("RS256", &unsigned(header, claims))
    }

    fn signed(&self, algorithm: &str, text: &str) -> String {
        let bytes = text.as_bytes();
        let rsa = |encoding: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &SystemRandom::new(), bytes, &mut out).unwrap();
            out
        };
        let signed = match algorithm {
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(bytes).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{text}.{}", b64(&signed))
    }

    /// An HMAC with a key that others know as well.
    pub(crate) fn hmac(header: &Value, claims: &Value, key: &[u8]) -> String {
        let text = unsigned(header, &claims.to_string());
        let mut mac: Hmac<Sha256> = Mac::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        format!("{text}.{}", b64(&mac.finalize().into_bytes()))
    }
}

fn unsigned(header: &Value, claims: &str) -> String {
    format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.as_bytes()))
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Idp {
    pub(crate) async fn start(now: Timestamp) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", socket.local_addr().unwrap());
        let keys = Signer::fresh("k1");
        let published = keys.published();
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "end_session_endpoint": format!("{issuer}/end"),
            "authorization_response_iss_parameter_supported": true,
        });
        let state = State {
            keys,
            published,
            codes: BTreeMap::new(),
            mutate: Arc::new(|keys, header, claims| keys.sign(&header, &claims)),
            claims: json!({ "preferred_username": "ada", "groups": ["staff"] }),
            user_info: None,
            now,
            asked: (0, 0),
            broken: BTreeMap::new(),
            is_mute: false,
            metadata,
        };
        let shared = Arc::new(Shared { issuer: issuer.clone(), state: Mutex::new(state) });
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                connections.spawn(async move { serve(&shared, stream).await });
            }
        });
        Self { issuer, shared, _tasks: tasks }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// A code for a login that began with this address, as the provider's page gives it.
    pub(crate) fn code(&self, departure: &url::Url) -> String {
        let query: BTreeMap<_, _> = departure.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], CLIENT);
        assert_eq!(query["code_challenge_method"], "S256");
        let mut state = self.state();
        let code = format!("code{}", state.codes.len());
        let of = (query["nonce"].clone(), query["code_challenge"].clone());
        state.codes.insert(code.clone(), of);
        code
    }

    /// The claims of a good token, without a nonce.
    pub(crate) fn good_claims(issuer: &str, now: Timestamp) -> Value {
        let now = now.as_second();
        json!({ "iss": issuer, "sub": SUBJECT, "aud": CLIENT, "iat": now, "exp": now + 300 })
    }
}

/// One whole request; `None`: who asked has gone.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count @ 1.. = stream.read(&mut buffer).await.ok()? else { return None };
        text.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(all);
        }
    }
}

async fn serve(shared: &Shared, mut stream: TcpStream) {
    let Some(request) = request(&mut stream).await else { return };
    if shared.state.lock().unwrap().is_mute {
        // Longer than anybody waits; ends with the test.
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let (status, body) = answer(shared, &request);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    let _gone_is_fine = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

fn answer(shared: &Shared, request: &str) -> (u16, String) {
    let mut guard = shared.state.lock().unwrap();
    let state = &mut *guard;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let path = head.split(' ').nth(1).unwrap();
    match path {
        "/jwks" => state.asked.0 += 1,
        "/.well-known/openid-configuration" => state.asked.1 += 1,
        _ => {}
    }
    if let Some((status, body)) = state.broken.get(path) {
        return (*status, body.clone());
    }
    match path {
        "/.well-known/openid-configuration" => (200, state.metadata.to_string()),
        "/jwks" => (200, state.published.to_string()),
        "/userinfo" => {
            let is_right = head.to_lowercase().contains("authorization: bearer access-1");
            match &state.user_info {
                Some(said) if is_right => (200, said.to_string()),
                _ => (401, String::new()),
            }
        }
        "/token" => token(state, &shared.issuer, head, body),
        _ => (404, String::new()),
    }
}

/// As strict as a provider should be: client, verifier and code must fit.
fn token(state: &mut State, issuer: &str, head: &str, body: &str) -> (u16, String) {
    let refuse = |error: &str| (400, json!({ "error": error }).to_string());
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:{encoded}"));
    if !head.contains(&format!("Basic {basic}")) {
        return refuse("invalid_client");
    }
    let Some((nonce, challenge)) = state.codes.remove(&form["code"]) else {
        return refuse("invalid_grant");
    };
    if b64(&Sha256::digest(form["code_verifier"].as_bytes())) != challenge
        || form["redirect_uri"] != "https://desk.example.org/oidc/callback"
    {
        return refuse("invalid_grant");
    }
    let header = json!({ "alg": "RS256", "kid": state.keys.id, "typ": "JWT" });
    let mut claims = Idp::good_claims(issuer, state.now);
    claims["nonce"] = json!(nonce);
    for (name, value) in state.claims.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let id_token = (state.mutate)(&state.keys, header, claims);
    (
        200,
        json!({ "id_token": id_token, "access_token": "access-1", "token_type": "Bearer" })
            .to_string(),
    )
}
