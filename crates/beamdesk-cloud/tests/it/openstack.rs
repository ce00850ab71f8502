//! What the driver for OpenStack promises beyond the suite, on the lab's real services.

mod cloud_guard;
mod cloud_sg;
mod failures;
mod faults;
mod inventory;
mod states;
