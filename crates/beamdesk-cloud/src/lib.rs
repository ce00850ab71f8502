//! Where desktops run: the [`Compute`] trait and its drivers.

mod compute;
mod error;
pub mod openstack;
mod request;
pub mod sandbox;
pub mod sim;

pub use compute::{
    Alter, Compute, HostCards, Power, PowerState, Published, Server, ServerId, ServerNote,
    ServerSpec,
};
pub use error::{BoxError, CloudError};
pub use request::RequestId;
