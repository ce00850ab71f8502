//! The cases, each for whichever database it is given.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod claims;
pub(crate) mod cloud_notes;
pub(crate) mod constraints;
pub(crate) mod desktops;
pub(crate) mod enrolments;
pub(crate) mod identities;
pub(crate) mod leader;
pub(crate) mod leases;
pub(crate) mod nodes;
pub(crate) mod offers;
pub(crate) mod recordings;
pub(crate) mod reservations;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod setup;
pub(crate) mod streams;
pub(crate) mod sweep;
pub(crate) mod tickets;
pub(crate) mod users;
