//! `beamdesk user`: what an administrator does when nobody can log in any more.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to a person at a terminal")]

use std::{
    io::{self, BufRead},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use beamdesk_auth::{Auth, AuthConfig, HandleKey};
use beamdesk_store::{Store, UserChange};
use beamdesk_types::Clock;
use clap::{Args, Subcommand};

use crate::{
    clock::SystemClock,
    data::{Data, default_folder},
    portal,
};

/// More accounts than this are listed by the portal's pages.
const LISTED_MAX: u32 = 1000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the database [default: /var/lib/beamdesk for root]
    #[arg(long, env = "BEAMDESK_DATA", global = true)]
    data: Option<PathBuf>,

    /// Of an installation with portals of their own: configuration file of one of them
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "data")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names, roles and whether they are disabled.
    List,
    /// Sets a new password, read from standard input, and enables the account.
    Password { name: String },
}

pub(crate) fn user(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(config) = &arguments.config {
            let (store, auth) = portal::open(&portal::read(config)?).await?;
            return act(&arguments.command, &store, &auth).await;
        }
        let folder = arguments.data.clone().unwrap_or_else(default_folder);
        let data = Data::open(&folder).context("stop `beamdesk up` first")?;
        let store = Store::open(&data.database()).await?;
        let key = HandleKey::open_or_create(&data.keys().join("handle.key"))?;
        let auth = Auth::new(store.clone(), Arc::new(SystemClock), AuthConfig::new(key));
        act(&arguments.command, &store, &auth).await
    })
}

async fn act(command: &Command, store: &Store, auth: &Auth) -> Result<()> {
    match command {
        Command::List => list(store).await,
        Command::Password { name } => password(store, auth, name).await,
    }
}

async fn list(store: &Store) -> Result<()> {
    for user in store.users(None, LISTED_MAX).await? {
        let disabled = if user.disabled { "disabled" } else { "" };
        println!("{:32} {:16} {disabled}", user.name, user.role.as_str());
    }
    Ok(())
}

async fn password(store: &Store, auth: &Auth, name: &str) -> Result<()> {
    let Some(user) = store.user_by_name(name).await? else {
        bail!("no account is called {name:?}")
    };
    eprintln!("New password of {name} (one line):");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();

    let password_hash = Some(auth.hash_password(password.into()).await?);
    let change = UserChange { password_hash, disabled: Some(false), ..UserChange::default() };
    store.update_user(user.id, change, SystemClock.now()).await?;
    auth.logout_all(user.id).await?;
    eprintln!("Done; all sessions of {name} have ended.");
    Ok(())
}
