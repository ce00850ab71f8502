//! Where desktops run: the [`Compute`] trait and its drivers.

mod compute;
pub mod sandbox;
pub mod sim;

pub use compute::{BoxError, CloudError, Compute, Power, PowerState, Server, ServerId, ServerSpec};
