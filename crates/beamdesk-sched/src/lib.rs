//! Where a desktop goes: filter, then score, as plain functions over values.

mod calendar;
mod cluster;
mod fit;
mod guard;
mod host;
mod index;
mod place;
mod policy;
pub mod queue;
mod request;
pub mod simulate;

pub use beamdesk_types::Misfit;
pub use calendar::Booking;
pub use cluster::Cluster;
pub use fit::fits;
pub use guard::Guard;
pub use host::{Amount, CardRoom, Host};
pub use place::{NoRoom, Placement, Rank, Settings, Shape, workload};
pub use policy::{Policy, UnknownPolicy, formula};
pub use request::Request;
