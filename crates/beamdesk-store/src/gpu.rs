//! What is asked of cards, as a column: JSON, or the empty text where nothing is.

use beamdesk_types::GpuRequest;

use crate::{StoreError, row};

pub(crate) fn text(gpu: &GpuRequest) -> Result<String, StoreError> {
    if *gpu == GpuRequest::default() { Ok(String::new()) } else { row::json(gpu, WHAT) }
}

pub(crate) fn read(text: &str) -> Result<GpuRequest, StoreError> {
    if text.is_empty() { Ok(GpuRequest::default()) } else { row::from_json(text, WHAT) }
}

const WHAT: &str = "request for cards";
