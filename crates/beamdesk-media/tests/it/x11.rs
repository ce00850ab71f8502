//! Capture, resizing and input with a real X server, started for each test.

mod capture;
mod desk;
mod input;
mod resize;
