//! What can be had now.

use axum::extract::State;
use beamdesk_http::Json;
use beamdesk_types::{GpuRequest, Image, ImageId, Protection, Size, SizeId, Station, StationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::User,
        view::{MisfitCount, WaitingView, misfit_counts, waiting},
    },
    app::offers::{self as app_offers, Wish},
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Offers {
    images: Vec<Image>,
    sizes: Vec<SizeOffer>,
    /// Whom a desktop may serve. Their nodes are for operators.
    stations: Vec<Station>,
    /// Cards there are, by kind.
    cards: Vec<CardOffer>,
    /// Whether cards may be asked for beyond those of a size.
    gpu_additions: bool,
    free: Free,
    quota: Quota,
    protections: Vec<Protection>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SizeOffer {
    size: Size,
    fits_now: bool,
    /// How many nodes there are.
    nodes: usize,
    /// Why it would have to wait; empty when it fits.
    misfits: Vec<MisfitCount>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CardOffer {
    model: String,
    memory_mib: u64,
    cores: u32,
    bandwidth_gb_s: u32,
    /// Some of them are given in shares.
    is_shared: bool,
    total: usize,
    /// Wholly free.
    free: usize,
}

/// What is free now, over all nodes that take desktops.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Free {
    vcpus: u64,
    memory_mib: u64,
    disk_gib: u64,
    /// Whole cards.
    gpus: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Quota {
    desktops_max: u32,
    /// How many one has.
    desktops: usize,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WishBody {
    image: ImageId,
    size: SizeId,
    #[serde(default)]
    station: Option<StationId>,
    #[serde(default)]
    gpu: GpuRequest,
}

/// What would come of a request now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OfferCheck {
    /// What it comes to, by size, image, station and wishes together.
    gpu: GpuRequest,
    fits_now: bool,
    /// How many nodes there are.
    nodes: usize,
    /// How it would wait, where it does not fit now.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingView>,
}

/// Images and sizes for a new desktop, and what is free now.
#[utoipa::path(get, path = "/offers", tag = "desktops",
    responses((status = OK, body = Offers), Errors))]
pub(super) async fn offers(State(app): State<App>, User(actor): User) -> Answer<Json<Offers>> {
    let offers = app_offers::offers(&app, &actor).await?;
    let nodes = offers.nodes;
    let sizes = offers.sizes.into_iter().map(|(size, room)| SizeOffer {
        size,
        fits_now: room.is_ok(),
        nodes,
        misfits: room.err().as_ref().map(misfit_counts).unwrap_or_default(),
    });
    let cards = offers.free.cards.into_iter().map(|kind| CardOffer {
        model: kind.model,
        memory_mib: kind.memory_mib,
        cores: kind.cores,
        bandwidth_gb_s: kind.bandwidth_gb_s,
        is_shared: kind.is_shared,
        total: kind.total,
        free: kind.free,
    });
    Ok(Json(Offers {
        images: offers.images,
        sizes: sizes.collect(),
        stations: offers.stations,
        cards: cards.collect(),
        gpu_additions: offers.gpu_additions,
        free: Free {
            vcpus: offers.free.vcpus,
            memory_mib: offers.free.memory_mib,
            disk_gib: offers.free.disk_gib,
            gpus: offers.free.gpus,
        },
        quota: Quota { desktops_max: app.config.desktops_max, desktops: offers.desktops },
        protections: offers.protections,
    }))
}

/// What would come of a request, without asking for it. Errors are those of asking.
#[utoipa::path(post, path = "/offers/check", tag = "desktops", request_body = WishBody,
    responses((status = OK, body = OfferCheck), Errors))]
pub(super) async fn check_offer(
    State(app): State<App>,
    User(actor): User,
    Json(body): Json<WishBody>,
) -> Answer<Json<OfferCheck>> {
    let WishBody { image, size, station, gpu } = body;
    let wish = Wish { image, size, station, gpu };
    let check = app_offers::check(&app, &actor, &wish).await?;
    let waiting = check.wait.as_ref().map(|wait| waiting(wait, check.queue, &check.books));
    Ok(Json(OfferCheck {
        gpu: check.gpu,
        fits_now: waiting.is_none(),
        nodes: check.nodes,
        waiting,
    }))
}
