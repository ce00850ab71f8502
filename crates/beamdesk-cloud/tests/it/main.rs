//! What the drivers promise, through the `Compute` trait.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod crash;
mod fault_proxy;
mod isolation;
mod openstack;
mod openstack_bed;
mod openstack_client;
mod openstack_proxy;
mod recorded;
mod sandbox;
mod sim;
mod suite;
