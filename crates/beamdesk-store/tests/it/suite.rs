//! The cases, each for whichever database it is given.

pub(crate) mod audit;
pub(crate) mod constraints;
pub(crate) mod desktops;
pub(crate) mod leases;
pub(crate) mod offers;
pub(crate) mod recordings;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod setup;
pub(crate) mod streams;
pub(crate) mod sweep;
pub(crate) mod tickets;
pub(crate) mod users;
