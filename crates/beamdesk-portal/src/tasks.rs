//! What goes on without anybody asking.

pub(crate) mod images;
pub(crate) mod lead;
pub mod lifecycle;
pub(crate) mod memory;
pub(crate) mod news;
pub(crate) mod orphans;
pub(crate) mod pass;
pub(crate) mod perform;
pub(crate) mod placer;
pub(crate) mod probe;
pub(crate) mod publish;
pub(crate) mod reconcile;
pub(crate) mod terms;
