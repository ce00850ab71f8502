//! The cloud as administrators see it: what it has, what in it is nobody's, what is otherwise there
//! than here.

pub(crate) mod strays;

use std::time::Duration;

use beamdesk_cloud::{CloudError, Server};
use beamdesk_types::{Actor, DesktopId, Drift, Image, ImageId, Inventory, MadeOf, SizeId};

use self::strays::unclaimed;
use crate::{App, PortalError, app::audit, tasks::lifecycle::told};

/// A cloud that takes longer to tell of all it has is shown as unavailable.
const DEADLINE: Duration = Duration::from_secs(30);
/// Servers that nobody claims, of which more is asked than their names.
const UNCLAIMED_MAX: usize = 200;
/// The end of a console's log that is shown.
const CONSOLE_LINES: u32 = 500;
/// Of such lines; what is before is cut off.
const CONSOLE_BYTES_MAX: usize = 256 * 1024;

/// All that is shown of the cloud.
#[derive(Debug)]
pub(crate) struct Picture {
    /// `None`: desktops run on this machine, or nowhere.
    pub(crate) inventory: Option<Inventory>,
    pub(crate) images: Vec<ImagePicture>,
    pub(crate) unclaimed: Vec<Unclaimed>,
    /// How many nobody claims, where not all are shown.
    pub(crate) unclaimed_total: usize,
}

/// An image that is in the cloud, offered here, or both.
#[derive(Debug)]
pub(crate) struct ImagePicture {
    pub(crate) id: ImageId,
    pub(crate) name: String,
    /// Somebody may ask for it here.
    pub(crate) is_offered: bool,
    pub(crate) is_in_cloud: bool,
    /// What the cloud says of it that is not said here.
    pub(crate) drift: Vec<Drift>,
}

/// A server of this deployment whose desktop has no row, not even a deleted one.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    pub(crate) server: Server,
    pub(crate) made_of: MadeOf,
}

pub(crate) async fn picture(app: &App) -> Result<Picture, PortalError> {
    let sizes = app.store.sizes().await?;
    let all = async {
        let inventory = app.cloud.inventory(&sizes).await?;
        let images = app.cloud.images().await?;
        Ok::<_, CloudError>((inventory, images))
    };
    let late = || CloudError::unavailable("no answer in time");
    let told = tokio::time::timeout(DEADLINE, all).await;
    let (inventory, there) = told.map_err(|_| late())??;
    let here = app.store.images().await?;
    let mut servers =
        tokio::time::timeout(DEADLINE, unclaimed(app)).await.map_err(|_| late())??;
    let unclaimed_total = servers.len();
    servers.truncate(UNCLAIMED_MAX);
    let mut unclaimed = Vec::new();
    for server in servers {
        // What is not written on it, an administrator has to know.
        let made_of = app.cloud.made_of(&server.id).await?.unwrap_or_default();
        unclaimed.push(Unclaimed { server, made_of });
    }
    Ok(Picture { inventory, images: images(&here, &there), unclaimed, unclaimed_total })
}

/// Joins what is offered here with what the cloud has.
fn images(here: &[Image], there: &[Image]) -> Vec<ImagePicture> {
    let of_there = |id: &ImageId| there.iter().find(|image| image.id == *id);
    let ours = here.iter().map(|image| {
        let found = of_there(&image.id);
        ImagePicture {
            id: image.id.clone(),
            name: image.name.clone(),
            is_offered: image.enabled,
            is_in_cloud: found.is_some(),
            drift: found.map(|found| image_drift(image, found)).unwrap_or_default(),
        }
    });
    let is_new = |image: &&Image| !here.iter().any(|ours| ours.id == image.id);
    let new = there.iter().filter(is_new).map(|image| ImagePicture {
        id: image.id.clone(),
        name: image.name.clone(),
        is_offered: false,
        is_in_cloud: true,
        drift: Vec::new(),
    });
    let mut images: Vec<ImagePicture> = ours.chain(new).collect();
    images.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    images
}

/// The cloud's side is what was wanted by whoever put the image there.
fn image_drift(here: &Image, there: &Image) -> Vec<Drift> {
    let mut drift = Vec::new();
    let mut differs = |what: &str, wanted: String, found: String| {
        if wanted != found {
            drift.push(Drift { what: what.to_owned(), wanted, found });
        }
    };
    differs("name", there.name.clone(), here.name.clone());
    let gpu = |image: &Image| serde_json::to_string(&image.gpu).unwrap_or_default();
    differs("gpu", gpu(there), gpu(here));
    drift
}

/// Takes over what the cloud says of an image. Whether it is offered stays as it is.
pub(crate) async fn take_image(app: &App, actor: &Actor, id: &ImageId) -> Result<(), PortalError> {
    let there = app.cloud.images().await?.into_iter().find(|image| image.id == *id);
    let there = there.ok_or(PortalError::NotFound)?;
    let here = app.store.image(id).await?;
    let enabled = here.as_ref().is_some_and(|here| here.enabled);
    let description = here.map(|here| here.description).filter(|text| !text.is_empty());
    let image = Image {
        enabled,
        description: description.unwrap_or_else(|| there.description.clone()),
        ..there
    };
    app.store.put_image(&image).await?;
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "image_taken_over", format!("image:{id}"), &image.name).await
}

/// Makes the cloud's flavor of a size what the size says.
pub(crate) async fn mend_size(app: &App, actor: &Actor, id: &SizeId) -> Result<(), PortalError> {
    let size = app.store.size(id).await?.ok_or(PortalError::NotFound)?;
    app.cloud.mend_size(&size).await.map_err(said)?;
    audit::note(app, actor, "flavor_mended", format!("size:{id}"), &size.name).await
}

/// The last lines a desktop's server wrote to its console; `None`: it keeps none.
pub(crate) async fn console_log(app: &App, id: DesktopId) -> Result<Option<String>, PortalError> {
    let server = server(app, id).await?;
    let log = app.cloud.console_log(&server.id, CONSOLE_LINES).await.map_err(said)?;
    Ok(log.map(|log| tail(log, CONSOLE_BYTES_MAX)))
}

/// A page with the screen of a desktop's server, for rescue. Noted: it shows what the owner sees.
pub(crate) async fn console_url(
    app: &App,
    actor: &Actor,
    id: DesktopId,
) -> Result<Option<String>, PortalError> {
    let server = server(app, id).await?;
    audit::note(app, actor, "console_opened", audit::desktop(id), server.id.to_string()).await?;
    Ok(app.cloud.console_url(&server.id).await.map_err(said)?.map(String::from))
}

async fn server(app: &App, id: DesktopId) -> Result<Server, PortalError> {
    app.store.desktop(id).await?.ok_or(PortalError::NotFound)?;
    app.cloud.find(id).await?.ok_or(PortalError::NotNow)
}

/// For an administrator, who is told all of it.
pub(crate) fn said(error: CloudError) -> PortalError {
    match &error {
        CloudError::Unavailable { .. } => PortalError::Cloud(error),
        CloudError::NoCapacity { .. }
        | CloudError::DiskFull
        | CloudError::Refused { .. }
        | CloudError::Quota { .. }
        | CloudError::Credentials { .. }
        | CloudError::ImageGone { .. }
        | CloudError::FlavorChanged { .. }
        | CloudError::NodeDisabled { .. } => {
            PortalError::CloudSays { code: error.code(), detail: told(&error) }
        }
    }
}

/// The end of a text, from the beginning of a character on.
fn tail(text: String, bytes_max: usize) -> String {
    let Some(mut from) = text.len().checked_sub(bytes_max) else { return text };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.split_at(from).1.to_owned()
}

#[cfg(test)]
mod tests {
    use beamdesk_types::{GpuRequest, Image};

    use super::{images, tail};

    fn image(id: &str, name: &str, enabled: bool) -> Image {
        Image {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            description: String::new(),
            gpu: GpuRequest::default(),
            enabled,
        }
    }

    #[test]
    fn an_image_is_shown_with_where_it_is_and_what_differs() {
        let here = [image("a", "A", true), image("b", "B", true), image("c", "C", false)];
        let mut there = [image("a", "A", true), image("c", "Sea", true), image("d", "D", true)];
        there[0].gpu = GpuRequest::whole(1, 0);
        let joined = images(&here, &there);
        let seen: Vec<_> = joined
            .iter()
            .map(|i| (i.id.as_str(), i.is_offered, i.is_in_cloud, i.drift.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a", true, true, 1),
                ("b", true, false, 0),
                ("c", false, true, 1),
                ("d", false, true, 0)
            ]
        );
        assert_eq!(joined[0].drift[0].what, "gpu");
        assert_eq!((&*joined[2].drift[0].wanted, &*joined[2].drift[0].found), ("Sea", "C"));
    }

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        assert_eq!(tail("abc".to_owned(), 3), "abc");
        assert_eq!(tail("abc".to_owned(), 2), "bc");
        assert_eq!(tail("aé".to_owned(), 1), "", "never half a character");
    }
}
