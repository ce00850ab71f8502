//! Where desktops run: the [`Compute`] trait and its drivers.

mod compute;

pub use compute::{
    CloudError, Compute, Power, PowerState, Server, ServerId, ServerSpec,
};
