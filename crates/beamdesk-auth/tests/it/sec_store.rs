//! SR-05: nothing in the database is worth stealing.

use std::fs;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use beamdesk_auth::new_bind;
use beamdesk_types::{RenewRequest, Role};

use crate::world::{ADDRESS, PASSWORD, World, gateway, secret};

/// Every secret of a run, in every spelling, is searched in the database and its log.
#[tokio::test]
async fn no_plaintext() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_file(dir.path()).await;
    let mut issued = vec![PASSWORD.to_owned(), "another password".to_owned()];

    let old_setup = world.auth.setup_link_token().await.unwrap().unwrap();
    let setup = world.auth.setup_link_token().await.unwrap().unwrap();
    issued.push(old_setup.expose().to_owned());
    issued.push(setup.expose().to_owned());
    let root = world
        .auth
        .complete_setup(setup.expose(), "root", secret("root password"), ADDRESS)
        .await
        .unwrap();
    issued.push("root password".to_owned());
    issued.push(root.token.expose().to_owned());

    let ada = world.user("ada", Role::User).await;
    let first = world.login("ada").await;
    issued.push(first.token.expose().to_owned());
    let login = world
        .auth
        .change_password(&first.actor, secret(PASSWORD), secret("another password"))
        .await
        .unwrap();
    issued.push(login.token.expose().to_owned());

    let desktop = world.desktop(ada.id).await;
    let bind = new_bind().unwrap();
    issued.push(bind.expose().to_owned());
    let east = gateway("east");
    for use_it in [true, true, false] {
        let ticket =
            world.auth.issue_ticket(&login.actor, &desktop, &east, bind.expose()).await.unwrap();
        issued.push(ticket.ticket.expose().to_owned());
        if !use_it {
            continue;
        }
        let opened = world.redeem_from(&ticket.ticket, "east", bind.expose()).await.unwrap();
        issued.push(opened.handle.expose().to_owned());
        let resumed = world.resume_from(&opened.handle, "east", bind.expose()).await.unwrap();
        issued.push(resumed.handle.expose().to_owned());
        let renew = RenewRequest { streams: vec![opened.stream], closed: Vec::new() };
        world.auth.renew(&renew, &east).await.unwrap();
    }
    // A wrong password may be the right one of something else.
    world.auth.login("ada", secret("my bank password"), ADDRESS).await.unwrap_err();
    issued.push("my bank password".to_owned());

    // While it is open the newest rows are in the log, and after closing they are in the file.
    let open = dump(dir.path());
    world.store.close().await;
    let closed = dump(dir.path());
    for bytes in [&open, &closed] {
        // The search does find what is there.
        assert!(contains(bytes, b"ada") && contains(bytes, b"stream_opened"));
        for text in &issued {
            for spelling in spellings(text) {
                let shown = String::from_utf8_lossy(&spelling).into_owned();
                assert!(!contains(bytes, &spelling), "{shown:?} of {text:?} is in the database");
            }
        }
    }
    assert!(issued.len() >= 16, "{}", issued.len());
}

fn dump(dir: &std::path::Path) -> String {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    searchable(&bytes)
}

/// One character for each byte: strings are searched faster than slices.
fn searchable(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn contains(dump: &str, wanted: &[u8]) -> bool {
    dump.contains(&searchable(wanted))
}

/// The text, what it encodes, and the signature of a handle by itself.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let mut values = vec![text.as_bytes().to_vec()];
    values.extend(URL_SAFE_NO_PAD.decode(text));
    if let Some((_, signature)) = text.rsplit_once('.') {
        values.push(signature.as_bytes().to_vec());
        values.extend(URL_SAFE_NO_PAD.decode(signature));
    }
    let mut spellings = Vec::new();
    for value in values {
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            spellings.push(engine.encode(&value).into_bytes());
        }
        spellings.push(hex::encode(&value).into_bytes());
        spellings.push(hex::encode_upper(&value).into_bytes());
        spellings.push(value);
    }
    spellings
}
