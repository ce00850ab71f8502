//! What can be had now.

use axum::extract::State;
use beamdesk_http::Json;
use beamdesk_types::{Image, Node, Protection, Size};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::User,
        view::{Waiting, waiting},
    },
    app::offers as app_offers,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Offers {
    images: Vec<Image>,
    sizes: Vec<SizeOffer>,
    free: Free,
    quota: Quota,
    protections: Vec<Protection>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SizeOffer {
    size: Size,
    fits_now: bool,
    /// Why it would have to wait; empty when it fits.
    misfits: Vec<Waiting>,
}

/// What is free now, over all nodes.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Free {
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
    gpus: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Quota {
    desktops_max: u32,
    /// How many one has.
    desktops: usize,
}

/// Images and sizes for a new desktop, and what is free now.
#[utoipa::path(get, path = "/offers", tag = "desktops",
    responses((status = OK, body = Offers), Errors))]
pub(super) async fn offers(State(app): State<App>, User(actor): User) -> Answer<Json<Offers>> {
    let offers = app_offers::offers(&app, &actor).await?;
    let sizes = offers.sizes.into_iter().map(|(size, room)| {
        let misfits = room.err().map(waiting);
        SizeOffer { size, fits_now: misfits.is_none(), misfits: misfits.unwrap_or_default() }
    });
    Ok(Json(Offers {
        images: offers.images,
        sizes: sizes.collect(),
        free: free(&offers.nodes),
        quota: Quota { desktops_max: app.config.desktops_max, desktops: offers.desktops },
        protections: offers.protections,
    }))
}

fn free(nodes: &[Node]) -> Free {
    let mut free = Free::default();
    for node in nodes.iter().filter(|node| node.enabled) {
        free.vcpus = free.vcpus.saturating_add(node.vcpus.saturating_sub(node.vcpus_used));
        free.memory_mib += node.memory_mib.saturating_sub(node.memory_mib_used);
        free.disk_gib += node.disk_gib.saturating_sub(node.disk_gib_used);
        free.gpus += node.gpus_free_mib.len();
    }
    free
}
