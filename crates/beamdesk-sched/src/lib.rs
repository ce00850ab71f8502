//! Where a desktop goes: filter, then score, as plain functions over values.

mod fit;
mod place;

pub use fit::{Misfit, Request, fits};
pub use place::{NoRoom, place};
