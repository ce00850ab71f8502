//! What a server reads at its first boot: cloud-config that leaves the seed and starts the agent.
//!
//! It is JSON below its first line, which YAML is too: so no text in it can become anything else
//! than a text.

use base64::{Engine, engine::general_purpose::STANDARD};
use beamdesk_types::AgentSeed;
use serde_json::{Value, json};

use crate::CloudError;

const SEED_FILE: &str = "/etc/beamdesk/seed.json";
const AGENT_UNIT: &str = "beamdesk-agent.service";
/// Nova's limit, in base64 (`nova/api/openstack/compute/schemas/servers.py`).
const BYTES_MAX: usize = 65_535;

/// In base64, as Nova wants it.
///
/// # Errors
/// `Refused`: it does not fit, because of commands in the configuration.
pub(super) fn user_data(seed: &AgentSeed, first_boot: &[String]) -> Result<String, CloudError> {
    let wrong = |error: serde_json::Error| CloudError::refused(error.to_string());
    let content = serde_json::to_string(seed).map_err(wrong)?;
    let text = format!("#cloud-config\n{}\n", config(&content, first_boot));
    let encoded = STANDARD.encode(text);
    if encoded.len() > BYTES_MAX {
        return Err(CloudError::refused(
            "the commands of the first boot are too long; an administrator of Beamdesk can shorten them",
        ));
    }
    Ok(encoded)
}

fn config(seed: &str, first_boot: &[String]) -> Value {
    let mut commands: Vec<Value> = first_boot.iter().map(|command| json!(command)).collect();
    // Without waiting: the unit may want to be started after cloud-init.
    commands.push(json!(["systemctl", "enable", AGENT_UNIT]));
    commands.push(json!(["systemctl", "start", "--no-block", AGENT_UNIT]));
    json!({
        "write_files": [
            { "path": SEED_FILE, "owner": "root:root", "permissions": "0600", "content": seed },
        ],
        "runcmd": commands,
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use beamdesk_types::{AgentSeed, DesktopId, Secret, SessionConfig};
    use serde_json::{Value, json};

    use super::user_data;

    fn seed(name: &str) -> AgentSeed {
        AgentSeed {
            desktop: DesktopId::from_u128(7),
            generation: 3,
            portals: vec!["https://portal:8445".to_owned()],
            authority: "-----BEGIN CERTIFICATE-----\n...\n".to_owned(),
            secret: Secret::new("once".to_owned()),
            session: SessionConfig {
                name: name.to_owned(),
                language: "zh".to_owned(),
                width: 1920,
                height: 1080,
            },
        }
    }

    fn read(user_data: &str) -> Value {
        let text = String::from_utf8(STANDARD.decode(user_data).unwrap()).unwrap();
        serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    #[test]
    fn the_seed_arrives_whatever_a_desktop_is_called() {
        for name in ["桌面 1", "\"\n  - rm -rf /\n#cloud-config\n", "${HOME}$(id)`id`", "{{ v1 }}"]
        {
            let config = read(&user_data(&seed(name), &[]).unwrap());
            let file = &config["write_files"][0];
            assert_eq!(file["path"], "/etc/beamdesk/seed.json");
            assert_eq!(file["permissions"], "0600");
            let seed: AgentSeed = serde_json::from_str(file["content"].as_str().unwrap()).unwrap();
            assert_eq!((seed.session.name.as_str(), seed.generation), (name, 3));
            assert_eq!(config["write_files"].as_array().unwrap().len(), 1);
        }
    }

    #[test]
    fn the_agent_starts_after_the_sites_own_commands() {
        let config = read(&user_data(&seed("d"), &["mount -a".to_owned()]).unwrap());
        assert_eq!(config["runcmd"][0], json!("mount -a"));
        assert_eq!(config["runcmd"][2][1], json!("start"));
    }

    #[test]
    fn what_nova_would_not_take_is_refused_here() {
        let refused = user_data(&seed("d"), &["x".repeat(60_000)]).unwrap_err();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
}
