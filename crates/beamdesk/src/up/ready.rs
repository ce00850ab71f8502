//! What is printed once the system can be used.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use beamdesk_portal::OriginPair;
use beamdesk_types::{Protection, Secret};
use serde::Serialize;

use super::Public;

/// Addresses of the running system; also the JSON of `--ready-file`.
#[derive(Serialize)]
pub(super) struct Ready {
    portal: String,
    gateway: String,
    portal_https: String,
    gateway_https: String,
    /// Opens the page on which the first administrator chooses a password; while there is none.
    setup_link: Option<String>,
}

impl Ready {
    pub(super) fn new(public: &Public, setup: Option<&Secret>) -> Self {
        let of = |scheme: &str| {
            let pair = public.origins.iter().find(|pair| pair.portal.starts_with(scheme));
            pair.cloned().unwrap_or(OriginPair { portal: String::new(), gateway: String::new() })
        };
        let (plain, tls) = (of("http:"), of("https:"));
        // Behind `#`, so that it is in no request, log or referrer.
        let setup_link = setup.map(|token| format!("{}/setup#{}", plain.portal, token.expose()));
        Self {
            portal: plain.portal,
            gateway: plain.gateway,
            portal_https: tls.portal,
            gateway_https: tls.gateway,
            setup_link,
        }
    }

    /// Tells the person at the terminal, and the script that waits for `file`.
    #[expect(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn announce(&self, protections: &[Protection], file: Option<&Path>) -> Result<()> {
        println!("\nBeamdesk is ready.\n");
        println!("  on this machine    {}", self.portal);
        println!("  from elsewhere     {}", self.portal_https);
        for protection in protections.iter().filter(|protection| !protection.in_force) {
            println!("  not protected      {}: {}", protection.code, protection.detail);
        }
        if let Some(link) = &self.setup_link {
            println!(
                "\nFirst, make the administrator's account. This link works once:\n\n  {link}"
            );
        }
        println!("\nCtrl-C stops everything; the next start finds it as it was.\n");
        std::io::stdout().flush()?;
        if let Some(file) = file {
            // Whole or not there: whoever waits for it reads it at once.
            let new = file.with_extension("new");
            fs::write(&new, serde_json::to_vec(self)?)
                .and_then(|()| fs::rename(&new, file))
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        Ok(())
    }
}
