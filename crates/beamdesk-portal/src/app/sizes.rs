//! Sizes and images, as administrators change them.

use beamdesk_types::{Actor, Image, ImageId, Size, SizeId};

use crate::{App, PortalError, app::audit};

/// Longer names do not fit a card.
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 500;
/// Larger than any machine; catches a slip of the finger.
const VCPUS_MAX: u32 = 1024;
const MEMORY_MIB_MIN: u64 = 128;
const MEMORY_MIB_MAX: u64 = 16 << 20;
const DISK_GIB_MAX: u64 = 1 << 20;
/// A year: longer is without end.
const TERM_HOURS_MAX: u32 = 366 * 24;

pub(crate) async fn add(app: &App, actor: &Actor, size: Size) -> Result<Size, PortalError> {
    check(&size)?;
    if app.store.size(&size.id).await?.is_some() {
        return Err(PortalError::Taken);
    }
    put(app, actor, size).await
}

pub(crate) async fn replace(
    app: &App,
    actor: &Actor,
    id: &SizeId,
    size: Size,
) -> Result<Size, PortalError> {
    if size.id != *id {
        return Err(PortalError::Invalid { field: "id", why: "differs from the one in the path" });
    }
    check(&size)?;
    if app.store.size(id).await?.is_none() {
        return Err(PortalError::NotFound);
    }
    put(app, actor, size).await
}

pub(crate) async fn remove(app: &App, actor: &Actor, id: &SizeId) -> Result<(), PortalError> {
    if !app.store.remove_size(id).await? {
        return Err(PortalError::NotFound);
    }
    audit::note(app, actor, "size_removed", format!("size:{id}"), "").await
}

/// Images come from the cloud; here they get names and are offered or not.
pub(crate) async fn replace_image(
    app: &App,
    actor: &Actor,
    id: &ImageId,
    image: Image,
) -> Result<Image, PortalError> {
    if image.id != *id {
        return Err(PortalError::Invalid { field: "id", why: "differs from the one in the path" });
    }
    check_name(&image.name)?;
    if image.description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(PortalError::Invalid { field: "description", why: "is too long" });
    }
    image.gpu.check()?;
    if app.store.image(id).await?.is_none() {
        return Err(PortalError::NotFound);
    }
    app.store.put_image(&image).await?;
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "image_changed", format!("image:{id}"), &image.name).await?;
    Ok(image)
}

async fn put(app: &App, actor: &Actor, size: Size) -> Result<Size, PortalError> {
    app.store.put_size(&size).await?;
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "size_changed", format!("size:{}", size.id), &size.name).await?;
    Ok(size)
}

fn check(size: &Size) -> Result<(), PortalError> {
    let invalid = |why| Err(PortalError::Invalid { field: "size", why });
    check_name(&size.name)?;
    if size.vcpus == 0 || size.vcpus > VCPUS_MAX {
        return invalid("has 1 to 1024 vCPUs");
    }
    if !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&size.memory_mib) {
        return invalid("has 128 MiB to 16 TiB of memory");
    }
    if size.disk_gib > DISK_GIB_MAX {
        return invalid("has at most 1 PiB of disk");
    }
    if size.term_hours > TERM_HOURS_MAX {
        return invalid("has a term of at most a year, or 0 for none");
    }
    Ok(size.gpu.check()?)
}

pub(crate) fn check_name(name: &str) -> Result<(), PortalError> {
    let invalid = |why| Err(PortalError::Invalid { field: "name", why });
    if name.trim().is_empty() {
        return invalid("must not be empty");
    }
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return invalid("has at most 64 characters, none of them control characters");
    }
    Ok(())
}
