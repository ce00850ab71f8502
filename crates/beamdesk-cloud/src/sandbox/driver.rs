//! What the driver does for one desktop that there is, or shall be: create, power, look, delete.

use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use beamdesk_types::DesktopId;
use rustix::process::Signal;
use tracing::{info, warn};

use super::{
    Sandbox,
    clear::clear,
    fail_point::fail_point,
    failed,
    folder::{self, Folder, Order, ServerState, Wanted},
    process::Process,
    server_id,
};
use crate::{CloudError, PowerState, Server, ServerSpec};

impl Sandbox {
    pub(super) fn folder(&self, desktop: DesktopId) -> Folder {
        Folder { path: self.root.join(desktop.to_string()) }
    }

    /// What the processes of a sandbox are known by, whichever data folder else there is.
    pub(super) fn mark(&self, name: &str) -> String {
        format!("{}/{name}", self.deployment)
    }

    /// Changes of one desktop pass one by one.
    pub(super) fn gate(&self, desktop: DesktopId) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry(desktop).or_default())
    }

    pub(super) async fn create_one(&self, spec: &ServerSpec) -> Result<(), CloudError> {
        self.check(spec)?;
        let folder = self.folder(spec.desktop);
        if folder.exists().map_err(failed)? {
            let order = folder.order().map_err(failed)?;
            if order.is_some_and(|order| order.wanted == Wanted::Gone) {
                return Err(busy("the desktop is being deleted"));
            }
            let ran = folder.server().map_err(failed)?.is_some();
            if ran || folder.supervisor().map_err(failed)?.is_some() {
                return Ok(());
            }
        }
        self.start(spec).await
    }

    pub(super) async fn power_on(&self, spec: &ServerSpec) -> Result<(), CloudError> {
        self.check(spec)?;
        let folder = self.folder(spec.desktop);
        let order = folder.order().map_err(failed)?;
        let Some(order) = order.filter(|order| order.wanted != Wanted::Gone) else {
            return Err(CloudError::refused(format!("there is no server {}", spec.desktop)));
        };
        if order.wanted == Wanted::On && folder.supervisor().map_err(failed)?.is_some() {
            return Ok(());
        }
        self.start(spec).await
    }

    pub(super) fn power_off(&self, desktop: DesktopId) -> Result<(), CloudError> {
        let folder = self.folder(desktop);
        let order = folder.order().map_err(failed)?;
        let Some(order) = order.filter(|order| order.wanted != Wanted::Gone) else {
            return Err(CloudError::refused(format!("there is no server {desktop}")));
        };
        set_wanted(&folder, order, Wanted::Off).map_err(failed)?;
        fail_point("off-ordered");
        if let Some(supervisor) = supervisor(&folder).map_err(failed)? {
            supervisor.signal(Signal::TERM).map_err(failed)?;
        }
        Ok(())
    }

    pub(super) async fn delete_one(&self, desktop: DesktopId) -> Result<(), CloudError> {
        let folder = self.folder(desktop);
        if folder.exists().map_err(failed)? {
            // An unreadable order must not make a desktop immortal.
            let order = folder.order().ok().flatten().unwrap_or_else(unknown_order);
            let nonce = set_wanted(&folder, order, Wanted::Gone).map_err(failed)?;
            fail_point("delete-ordered");
            self.stop(&folder).await.map_err(failed)?;
            fail_point("delete-stopped");
            self.clear(desktop).await?;
            fail_point("delete-cleared");
            folder.remove(&nonce).map_err(failed)?;
            info!(desktop.id = %desktop, "Deleted the sandbox");
        } else {
            self.clear(desktop).await?;
        }
        Ok(())
    }

    /// Powers off all at once, then waits for each.
    pub(super) async fn stop_all(&self) {
        let desktops = folder::desktops(&self.root).unwrap_or_default();
        for &desktop in &desktops {
            let gate = self.gate(desktop);
            let _one_at_a_time = gate.lock().await;
            if let Err(CloudError::Unavailable { source, .. }) = self.power_off(desktop) {
                warn!(desktop.id = %desktop, error = %source, "Could not power off the desktop");
            }
        }
        for desktop in desktops {
            if let Err(error) = self.stop(&self.folder(desktop)).await {
                warn!(desktop.id = %desktop, error = %error, "Could not stop the desktop");
            }
        }
    }

    /// The server as folder and lock show it now.
    pub(super) fn look(&self, desktop: DesktopId) -> io::Result<Option<Server>> {
        let folder = self.folder(desktop);
        if !folder.exists()? {
            return Ok(None);
        }
        let with = |generation, state, address, cards| {
            let (id, node) = (server_id(desktop), self.machine.name.clone());
            Ok(Some(Server { id, desktop, generation, state, note: None, address, node, cards }))
        };
        let known = |generation, state, address| with(generation, state, address, Vec::new());
        let order = match folder.order() {
            Ok(Some(order)) => order,
            // Removed since we looked.
            Ok(None) if !folder.exists()? => return Ok(None),
            Ok(None) => return known(0, PowerState::Error("its order is lost".to_owned()), None),
            Err(error) => return known(0, PowerState::Error(error.to_string()), None),
        };
        if order.wanted == Wanted::Gone {
            return known(order.generation, PowerState::Deleting, None);
        }
        let alive = folder.supervisor()?.is_some();
        // A torn file after a power cut says nothing about a server that cannot run any more.
        let server =
            folder.server().ok().flatten().filter(|server| server.generation == order.generation);
        let starting = self.starting().contains_key(&desktop);
        match (alive, server.map(|server| (server.state, server.ended))) {
            (true, Some((ServerState::On { address }, _))) => {
                with(order.generation, PowerState::Active, Some(address), order.cards)
            }
            (true, Some((ServerState::Off | ServerState::Broken, _)) | None) => {
                with(order.generation, PowerState::Building, None, order.cards)
            }
            (false, Some((ServerState::Broken, why))) => {
                known(order.generation, PowerState::Error(why.unwrap_or_default()), None)
            }
            (false, Some((ServerState::On { .. } | ServerState::Off, _)) | None) => {
                let state = if starting { PowerState::Building } else { PowerState::Off };
                known(order.generation, state, None)
            }
        }
    }

    /// Ends the supervisor and with it the server, by force if need be.
    async fn stop(&self, folder: &Folder) -> io::Result<()> {
        for (signal, wait) in [(Signal::TERM, STOP_WAIT_MAX), (Signal::KILL, KILL_WAIT_MAX)] {
            let Some(supervisor) = supervisor(folder)? else { return Ok(()) };
            supervisor.signal(signal)?;
            if supervisor.ends_within(wait).await? {
                return Ok(());
            }
        }
        Err(io::Error::other("the desktop's supervisor does not die"))
    }

    /// Kills what a killed supervisor may have left and removes the groups.
    async fn clear(&self, desktop: DesktopId) -> Result<(), CloudError> {
        let name = desktop.to_string();
        match clear(&self.groups.paths_of(&name), &self.mark(&name)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(busy("some of the desktop's processes do not die")),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Writes a new order, so that a supervisor that is still starting on the old one goes home.
fn set_wanted(folder: &Folder, mut order: Order, wanted: Wanted) -> io::Result<String> {
    order.nonce = fresh_nonce()?;
    order.wanted = wanted;
    folder.set_order(&order)?;
    Ok(order.nonce)
}

/// 128 random bits: never the same twice.
pub(super) fn fresh_nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The living supervisor, held so that its id cannot become another's.
pub(super) fn supervisor(folder: &Folder) -> io::Result<Option<Process>> {
    let Some(pid) = folder.supervisor()? else { return Ok(None) };
    Process::hold(pid, || Ok(folder.supervisor()? == Some(pid)))
}

fn unknown_order() -> Order {
    Order {
        nonce: String::new(),
        wanted: Wanted::Gone,
        generation: 0,
        owner: beamdesk_types::UserId::from_u128(0),
        vcpus: 0,
        memory_mib: 0,
        cards: Vec::new(),
    }
}

pub(super) fn busy(text: &'static str) -> CloudError {
    let (retry_after, source) = (Some(RETRY_AFTER), text.into());
    CloudError::Unavailable { retry_after, source, request: None }
}

/// The supervisor gives its session 5 s, then some to clear.
const STOP_WAIT_MAX: Duration = Duration::from_secs(12);
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);
